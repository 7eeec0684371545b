"""Measurements against torch.optim, run by ``make bench``. What measures is in the package: zerograd.benchmarking."""
