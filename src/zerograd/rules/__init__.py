"""The update rules and the wrappers around them: one algorithm, one file, in the notation of ``zerograd.algebra``.

A rule has the signature of its paper: the gradient, the state under torch's names, the hyper-parameters.

>>> from zerograd.rules import adam, cautious, decoupled
>>> decoupled(cautious(adam)).hypers
{'betas': (0.9, 0.999), 'eps': 1e-08, 'amsgrad': False, 'weight_decay': 0.0}
"""

from zerograd.rules._adadelta import adadelta
from zerograd.rules._adagrad import adagrad
from zerograd.rules._adam import adam
from zerograd.rules._adamax import adamax
from zerograd.rules._adopt import adopt
from zerograd.rules._asgd import asgd
from zerograd.rules._cautious import cautious
from zerograd.rules._ema import ema, ema_average
from zerograd.rules._lamb import lamb
from zerograd.rules._lion import lion
from zerograd.rules._lookahead import lookahead
from zerograd.rules._mars import mars
from zerograd.rules._nadam import nadam
from zerograd.rules._prodigy import prodigy
from zerograd.rules._radam import radam
from zerograd.rules._rmsprop import rmsprop
from zerograd.rules._rprop import rprop
from zerograd.rules._schedule_free_adamw import schedule_free_adamw, schedule_free_average
from zerograd.rules._sgd import sgd
from zerograd.rules._sparse_adam import sparse_adam
from zerograd.rules._stable_adamw import stable_adamw
from zerograd.rules._trust_ratio import trust_ratio
from zerograd.rules._weight_decay import cautious_decay, decoupled, l2, torch_decay

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adopt",
    "asgd",
    "cautious",
    "cautious_decay",
    "decoupled",
    "ema",
    "ema_average",
    "l2",
    "lamb",
    "lion",
    "lookahead",
    "mars",
    "nadam",
    "prodigy",
    "radam",
    "rmsprop",
    "rprop",
    "schedule_free_adamw",
    "schedule_free_average",
    "sgd",
    "sparse_adam",
    "stable_adamw",
    "torch_decay",
    "trust_ratio",
]
