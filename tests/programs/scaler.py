"""A loss scaler whose first steps overflow and are skipped."""

import torch
from torch import nn

torch.manual_seed(0)

model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
inputs, targets = torch.randn(24, 3), torch.randn(24, 1)
loader = list(zip(inputs.split(4), targets.split(4), strict=True))
loss_fn = nn.MSELoss()

optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
for _ in range(2):
    for x, y in loader:
        optimizer.zero_grad()
        loss = 100 * loss_fn(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
