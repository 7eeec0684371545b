"""Oracles: what an optimizer of the library is compared with.

An oracle is a second, independent account of an algorithm, written from its paper and from the behaviour
of its well-known implementation, not from the library: float64 tensors, one parameter after the other, every
formula in the order in which one reads it, no thought for speed or memory. It shares nothing with the library
but the source, so a disagreement means that one of the two misread it.

    oracle = Lion([w, b], lr=1e-3)                        # tensors, or
    oracle = Lion([{"params": [w]}, {"params": [b], "lr": 1e-2}], weight_decay=0.1)
    w.grad, b.grad = ...
    oracle.step()                                         # updates w and b in place
    oracle.state[w]["exp_avg"], oracle.state[w]["step"], oracle.param_groups[0]["lr"]

Hyper-parameters are read from the group at every step. A parameter without a gradient is left alone, together
with its state; its step count starts at 1 with its first gradient. `maximize=True` negates the gradient.
"""

from .adam import Adam, AdamW
from .adopt import ADOPT
from .base import Reference
from .cautious import CautiousAdamW
from .cautious_decay import CautiousDecayAdam
from .ema import EMAAdamW
from .lamb import LAMB
from .lion import Lion
from .lookahead import LookaheadAdam
from .mars import MARSAdamW
from .muon import Muon
from .prodigy import Prodigy
from .schedule_free import ScheduleFreeAdamW, evaluation_point
from .stable_adamw import StableAdamW
from .trust_ratio import TrustRatioAdam

__all__ = [
    "ADOPT",
    "LAMB",
    "Adam",
    "AdamW",
    "CautiousAdamW",
    "CautiousDecayAdam",
    "EMAAdamW",
    "Lion",
    "LookaheadAdam",
    "MARSAdamW",
    "Muon",
    "Prodigy",
    "Reference",
    "ScheduleFreeAdamW",
    "StableAdamW",
    "TrustRatioAdam",
    "evaluation_point",
]
