"""The update rules on whole matrices: one algorithm, one file, in torch's own operations.

Each changes a stack of parameters of one shape, and their states, in place; it knows no parameter group and no step
loop. ``zerograd.algebra.matrix_rule`` says how they are written.

>>> from zerograd.matrix import muon
>>> muon.states, muon.hypers["ns_steps"]
({'momentum_buffer': 0.0}, 5)
"""

from zerograd.matrix._adafactor import adafactor
from zerograd.matrix._muon import muon

__all__ = ["adafactor", "muon"]
