"""Sharpness-aware: two backward passes, the weights moved between them and restored."""

import torch
from torch import nn

torch.manual_seed(0)

model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
inputs, targets = torch.randn(24, 3), torch.randn(24, 1)
loader = list(zip(inputs.split(4), targets.split(4), strict=True))
loss_fn = nn.MSELoss()

optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for x, y in loader:
    first = loss_fn(model(x), y)
    first.backward()
    moved = []
    with torch.no_grad():
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        for p in model.parameters():
            e = 0.05 * p.grad / norm
            p.data.add_(e)
            moved.append(e)
    optimizer.zero_grad()
    second = loss_fn(model(x), y)
    second.backward()
    with torch.no_grad():
        for p, e in zip(model.parameters(), moved, strict=True):
            p.data.sub_(e)
    optimizer.step()
    optimizer.zero_grad()
