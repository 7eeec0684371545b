"""Gradients of autograd.grad, assigned by hand; evolution strategies after that."""

import torch
from torch import nn

torch.manual_seed(0)

model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
inputs, targets = torch.randn(24, 3), torch.randn(24, 1)
loader = list(zip(inputs.split(4), targets.split(4), strict=True))
loss_fn = nn.MSELoss()

optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
params = list(model.parameters())
for x, y in loader:
    loss = loss_fn(model(x), y)
    for p, g in zip(params, torch.autograd.grad(loss, params), strict=True):
        p.grad = g
    optimizer.step()
for _ in range(3):
    for p in params:
        p.grad = torch.randn_like(p)
    optimizer.step()
