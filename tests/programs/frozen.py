"""The body is frozen for some batches; a part is never used."""

import torch
from torch import nn

torch.manual_seed(0)

body, head, unused = nn.Linear(3, 8), nn.Linear(8, 1), nn.Linear(2, 2)
inputs, targets = torch.randn(24, 3), torch.randn(24, 1)
loader = list(zip(inputs.split(4), targets.split(4), strict=True))
loss_fn = nn.MSELoss()

body_optimizer = torch.optim.SGD(body.parameters(), lr=0.1)
head_optimizer = torch.optim.Adam([*head.parameters(), *unused.parameters()], lr=0.01)
body.requires_grad_(False)
for i in range(12):
    x, y = loader[i % len(loader)]
    if i == 5:
        body.requires_grad_(True)
    body_optimizer.zero_grad()
    head_optimizer.zero_grad()
    loss = loss_fn(head(body(x).tanh()), y)
    loss.backward()
    body_optimizer.step()
    head_optimizer.step()
