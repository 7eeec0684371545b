"""What `import zerograd` gives, for editors and type checkers.

Written by `make stubs` (tools/make_stubs.py) from the live package; do not edit by hand.
"""

from torch.optim import swap_in_optimizer_params_and_state as swap_in_optimizer_params_and_state

from zerograd import algebra as algebra
from zerograd import compat as compat
from zerograd import errors as errors
from zerograd import losses as losses
from zerograd import lr_scheduler as lr_scheduler
from zerograd import matrix as matrix
from zerograd import optim as optim
from zerograd import rules as rules
from zerograd import safetensors_io as safetensors_io
from zerograd import swa_utils as swa_utils
from zerograd import training as training
from zerograd.algebra import rule as rule
from zerograd.algebra import scalar as scalar
from zerograd.algebra import start as start
from zerograd.algebra import view as view
from zerograd.algebra import wrapper as wrapper
from zerograd.engine.construction import from_rule as from_rule
from zerograd.engine.inventory import describe as describe
from zerograd.engine.optimizer import RuleOptimizer as RuleOptimizer
from zerograd.engine.storing import plain_state_dict as plain_state_dict
from zerograd.errors import HazardError as HazardError
from zerograd.errors import HazardWarning as HazardWarning
from zerograd.errors import RuleError as RuleError
from zerograd.errors import RunError as RunError
from zerograd.errors import UsageError as UsageError
from zerograd.errors import ZerogradError as ZerogradError
from zerograd.formats.policies import Int8 as Int8
from zerograd.lifecycle.accumulating import accumulate as accumulate
from zerograd.lifecycle.guarding import guard as guard
from zerograd.optim import ADOPT as ADOPT
from zerograd.optim import ASGD as ASGD
from zerograd.optim import LAMB as LAMB
from zerograd.optim import LBFGS as LBFGS
from zerograd.optim import SGD as SGD
from zerograd.optim import Adadelta as Adadelta
from zerograd.optim import Adafactor as Adafactor
from zerograd.optim import Adagrad as Adagrad
from zerograd.optim import Adam as Adam
from zerograd.optim import Adamax as Adamax
from zerograd.optim import AdamW as AdamW
from zerograd.optim import Lion as Lion
from zerograd.optim import Muon as Muon
from zerograd.optim import NAdam as NAdam
from zerograd.optim import Optimizer as Optimizer
from zerograd.optim import Prodigy as Prodigy
from zerograd.optim import RAdam as RAdam
from zerograd.optim import RMSprop as RMSprop
from zerograd.optim import Rprop as Rprop
from zerograd.optim import ScheduleFreeAdamW as ScheduleFreeAdamW
from zerograd.optim import SparseAdam as SparseAdam
from zerograd.optim import StableAdamW as StableAdamW
from zerograd.rules import cautious as cautious
from zerograd.rules import cautious_decay as cautious_decay
from zerograd.rules import decoupled as decoupled
from zerograd.rules import ema as ema
from zerograd.rules import l2 as l2
from zerograd.rules import lookahead as lookahead
from zerograd.rules import mars as mars
from zerograd.rules import trust_ratio as trust_ratio

__version__: str
__all__ = [
    "ADOPT",
    "ASGD",
    "LAMB",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "HazardError",
    "HazardWarning",
    "Int8",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rprop",
    "RuleError",
    "RuleOptimizer",
    "RunError",
    "ScheduleFreeAdamW",
    "SparseAdam",
    "StableAdamW",
    "UsageError",
    "ZerogradError",
    "accumulate",
    "algebra",
    "cautious",
    "cautious_decay",
    "compat",
    "decoupled",
    "describe",
    "ema",
    "errors",
    "from_rule",
    "guard",
    "l2",
    "lookahead",
    "losses",
    "lr_scheduler",
    "mars",
    "matrix",
    "optim",
    "plain_state_dict",
    "rule",
    "rules",
    "safetensors_io",
    "scalar",
    "start",
    "swa_utils",
    "swap_in_optimizer_params_and_state",
    "training",
    "trust_ratio",
    "view",
    "wrapper",
]
