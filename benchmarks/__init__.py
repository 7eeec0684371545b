"""Measurements against torch.optim, run by ``make bench``. Contestants take turns in one process: only ratios count."""
