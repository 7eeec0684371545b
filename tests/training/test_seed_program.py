"""The task `seed` is the seed program, to the last bit."""

import re

import torch
from torch import nn

import zerograd as optim
from training.runs import read_record


def seed_program(seed: int) -> list[float]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))
    loss_fn = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    inputs = torch.randn(5, 10)
    targets = torch.randn(5, 1)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = loss_fn(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_the_losses_are_the_seed_programs(keep):
    record = read_record(keep(task="seed", seed=42))
    assert [line["train_loss"] for line in record] == seed_program(42)


def test_it_has_no_test_set_and_no_classes(keep):
    for line in read_record(keep(task="seed")):
        assert not {"test_loss", "test_accuracy", "train_accuracy"} & line.keys()


def test_its_lines_are_the_seed_programs(keep, log):
    keep(task="seed", seed=42)
    printed = re.findall(r"^Epoch (\d), Loss: (\d\.\d{4})", log.file.getvalue(), re.MULTILINE)
    assert printed == [(str(n), f"{loss:.4f}") for n, loss in enumerate(seed_program(42), start=1)]
