"""Windows that are declared."""

import torch
from torch import nn

torch.manual_seed(0)

import zerograd

model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
inputs, targets = torch.randn(24, 3), torch.randn(24, 1)
loader = list(zip(inputs.split(4), targets.split(4), strict=True))
loss_fn = nn.MSELoss()

optimizer = zerograd.AdamW(model.parameters(), lr=0.01)
for _ in range(2):
    for batches in zerograd.accumulate(loader, optimizer, every=4):
        optimizer.zero_grad()
        for x, y in batches:
            loss = loss_fn(model(x), y)
            batches.backward(loss, n=len(x))
        optimizer.step()
