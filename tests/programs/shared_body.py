"""A shared body and two heads, with two optimizers; a step of a head comes before the second backward."""

import torch
from torch import nn

torch.manual_seed(0)

body, one, two = nn.Linear(3, 8), nn.Linear(8, 1), nn.Linear(8, 1)
inputs, targets = torch.randn(24, 3), torch.randn(24, 1)
loader = list(zip(inputs.split(4), targets.split(4), strict=True))
loss_fn = nn.MSELoss()

heads = torch.optim.Adam([*one.parameters(), *two.parameters()], lr=0.01)
trunk = torch.optim.SGD(body.parameters(), lr=0.1)
for x, y in loader:
    heads.zero_grad()
    trunk.zero_grad()
    features = body(x).tanh()
    loss = loss_fn(one(features), y) + loss_fn(two(features), -y)
    loss.backward()
    heads.step()
    trunk.step()
