"""Kernels: a graph and the tensors it runs on, printed for one backend.

``prelude`` is common to all backends: the part of a rule that the host computes once a step. ``eager`` prints a graph
as torch's own operations on lists of tensors, and runs on every device that torch has.
"""
