"""torch.optim.swa_utils under zerograd's name: averaged models and stochastic weight averaging."""

from torch.optim.swa_utils import *  # noqa: F403
from torch.optim.swa_utils import __all__ as __all__
