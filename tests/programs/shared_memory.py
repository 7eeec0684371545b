"""Asynchronous workers: gradients of a local copy are put into a shared model, in a process and out of it."""

import torch
from torch import nn

torch.manual_seed(0)

import copy

import torch.multiprocessing as mp

model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
inputs, targets = torch.randn(24, 3), torch.randn(24, 1)
loader = list(zip(inputs.split(4), targets.split(4), strict=True))
loss_fn = nn.MSELoss()

model.share_memory()


def worker(batches):
    local = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in batches:
        local.load_state_dict(model.state_dict())
        local.zero_grad()
        loss = loss_fn(local(x), y)
        loss.backward()
        for shared, own in zip(model.parameters(), local.parameters(), strict=True):
            shared.grad = own.grad.clone()
        optimizer.step()


worker(loader)
if mp.get_start_method(allow_none=True) == "fork":
    process = mp.Process(target=worker, args=(loader[:2],))
    process.start()
    process.join()
