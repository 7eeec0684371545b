"""zerograd: the update half of a PyTorch training step, between ``loss.backward()`` and the next forward pass.

``import zerograd as optim`` takes the place of ``import torch.optim as optim``. Names are loaded when they are first
used, so importing the package costs next to nothing and needs no torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "zerograd.optim": (
        "ADOPT ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax LAMB LBFGS Lion Muon NAdam Optimizer Prodigy "
        "RAdam RMSprop Rprop SGD ScheduleFreeAdamW SparseAdam StableAdamW"
    ),
    "zerograd.engine.construction": "from_rule",
    "zerograd.engine.inventory": "describe",
    "zerograd.engine.storing": "plain_state_dict",
    "zerograd.formats.policies": "Int8",
    "zerograd.engine.optimizer": "RuleOptimizer",
    "zerograd.algebra": "rule scalar start view wrapper",
    "zerograd.lifecycle.accumulating": "accumulate",
    "zerograd.lifecycle.guarding": "guard",
    "zerograd.rules": "cautious cautious_decay decoupled ema l2 lookahead mars trust_ratio",
    "zerograd.errors": "HazardError HazardWarning RuleError RunError UsageError ZerogradError",
    "torch.optim": "swap_in_optimizer_params_and_state",
}
_MODULES = (
    "algebra",
    "compat",
    "errors",
    "losses",
    "lr_scheduler",
    "matrix",
    "optim",
    "rules",
    "safetensors_io",
    "swa_utils",
    "training",
)
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

_PUBLIC = sorted([*_HOME_OF, *_MODULES])


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"zerograd.{name}")
    if name == "__all__":  # for `from zerograd import *`: without the names that an older torch lacks
        return [public for public in _PUBLIC if public in _MODULES or hasattr(import_module(_HOME_OF[public]), public)]
    if name not in _HOME_OF:
        from zerograd.errors import nearest

        near = nearest(name, _PUBLIC)
        raise AttributeError(
            f"module 'zerograd' has no attribute {name!r}" + (f"; did you mean {near!r}?" if near else "")
        )
    home = import_module(_HOME_OF[name])
    if not hasattr(home, name):
        raise AttributeError(f"zerograd.{name} is torch's own, and the torch that is installed does not have it yet")
    value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*_PUBLIC, "__version__"]
