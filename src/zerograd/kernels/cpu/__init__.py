"""Compiled kernels for CPUs: a graph becomes one pass over memory, with torch's own threads.

graph and layout -> ``passes`` (what is computed in which pass) -> ``printer`` (LLVM's language) -> ``machine``
(machine code, kept by ``cache``) -> ``table`` (which tensors, which numbers) -> ``pool`` (on torch's own threads).
"""
