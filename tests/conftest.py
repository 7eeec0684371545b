"""Common to all tests: tiny tensors run faster on one thread, and tests in parallel do not disturb each other."""

import torch

torch.set_num_threads(1)
