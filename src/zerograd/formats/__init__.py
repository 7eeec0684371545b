"""Formats: how a tensor is stored. A format knows no rule.

``plain`` are the dtypes, ``stochastic`` is bfloat16 rounded at random, ``blocks`` are the 8-bit ones; ``policies`` says
which state gets which. ``layout`` is the formats of all that a kernel reads and writes, ``memory`` the order of a
tensor's elements, ``poisoning`` finds the groups of 8-bit states that are nan.
"""
