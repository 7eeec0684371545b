"""An optimizer made anew for each phase; a copy of the model; an exception that is dealt with."""

import torch
from torch import nn

torch.manual_seed(0)

import copy

model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
inputs, targets = torch.randn(24, 3), torch.randn(24, 1)
loader = list(zip(inputs.split(4), targets.split(4), strict=True))
loss_fn = nn.MSELoss()

for lr in (0.1, 0.05, 0.01):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for i, (x, y) in enumerate(loader):
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        try:
            loss.backward()
            if i == 3:
                raise RuntimeError("out of memory")
        except RuntimeError:
            optimizer.zero_grad()
            continue
        optimizer.step()
    kept = copy.deepcopy(model)
    kept_optimizer = copy.deepcopy(optimizer)
