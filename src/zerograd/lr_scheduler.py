"""torch.optim.lr_scheduler under zerograd's name: every scheduler drives every optimizer here."""

from torch.optim.lr_scheduler import *  # noqa: F403
from torch.optim.lr_scheduler import __all__ as __all__
from torch.optim.lr_scheduler import (
    _LRScheduler as _LRScheduler,  # an old name that programs still use
)
