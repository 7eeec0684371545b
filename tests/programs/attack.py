"""Adversarial training: the first backward is for the inputs."""

import torch
from torch import nn

torch.manual_seed(0)

model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
inputs, targets = torch.randn(24, 3), torch.randn(24, 1)
loader = list(zip(inputs.split(4), targets.split(4), strict=True))
loss_fn = nn.MSELoss()

optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for x, y in loader:
    attacked = x.clone().requires_grad_()
    first = loss_fn(model(attacked), y)
    first.backward()
    worse = (attacked + 0.1 * attacked.grad.sign()).detach()
    optimizer.zero_grad()
    loss = loss_fn(model(worse), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
