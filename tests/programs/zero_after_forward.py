"""A rotation: cleared between forward and backward, through the model, to zeros; one dummy step before."""

import torch
from torch import nn

torch.manual_seed(0)

model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
inputs, targets = torch.randn(24, 3), torch.randn(24, 1)
loader = list(zip(inputs.split(4), targets.split(4), strict=True))
loss_fn = nn.MSELoss()

optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
optimizer.zero_grad()
optimizer.step()
for x, y in loader:
    loss = loss_fn(model(x), y)
    model.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
