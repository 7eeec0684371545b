"""The gate of the compiled kernels: which tensors they may touch, that they touch nothing else, and what users do
between two steps."""
