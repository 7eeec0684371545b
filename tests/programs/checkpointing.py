"""Gradient checkpointing, both kinds."""

import torch
from torch import nn

torch.manual_seed(0)

from torch.utils.checkpoint import checkpoint

model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
inputs, targets = torch.randn(24, 3), torch.randn(24, 1)
loader = list(zip(inputs.split(4), targets.split(4), strict=True))
loss_fn = nn.MSELoss()

optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for i, (x, y) in enumerate(loader):
    optimizer.zero_grad()
    x.requires_grad_(True)
    hidden = checkpoint(model[:2], x, use_reentrant=bool(i % 2))
    loss = loss_fn(model[2](hidden), y)
    loss.backward()
    optimizer.step()
