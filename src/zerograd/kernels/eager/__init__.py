"""The eager backend: a graph as torch's own operations. ``foreach`` prints it for lists of tensors, ``plain``
interprets it one tensor at a time (autograd goes through it), and serves as the reference in tests."""
