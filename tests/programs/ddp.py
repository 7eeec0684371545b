"""DistributedDataParallel with one rank."""

import torch
from torch import nn

torch.manual_seed(0)

import torch.distributed as dist

model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
inputs, targets = torch.randn(24, 3), torch.randn(24, 1)
loader = list(zip(inputs.split(4), targets.split(4), strict=True))
loss_fn = nn.MSELoss()

dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
try:
    replica = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    optimizer = torch.optim.SGD(replica.parameters(), lr=0.1)
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_fn(replica(x), y)
        loss.backward()
        optimizer.step()
finally:
    dist.destroy_process_group()
