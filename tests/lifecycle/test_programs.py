"""Whole programs, as under `zerograd guard`: right ones are left in peace, wrong ones named, once for each cause."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lifecycle.wrong_programs import WRONG
from mutation.running import Outcome, run
from zerograd.lifecycle.sessions import guarded_session

START = """
import copy, torch
from torch import nn
torch.manual_seed(0)
SGD, Adam = torch.optim.SGD, torch.optim.Adam
"""

RIGHT = {
    "optimizers that step by turns on one loss": """
u, v = nn.Parameter(torch.randn(6, 2)), nn.Parameter(torch.randn(5, 2))
ours, theirs = SGD([u], lr=1e-2), SGD([v], lr=1e-2)
for turn in range(20):
    ours.zero_grad()
    theirs.zero_grad()
    (u @ v.t() - 1).square().mean().backward()
    (ours if turn % 2 == 0 else theirs).step()
""",
    "one backward for two optimizers whose steps a scaler skips": """
body, head = nn.Linear(4, 4), nn.Linear(4, 1)
ours, theirs = SGD(body.parameters(), lr=1e-3), Adam(head.parameters(), lr=1e-3)
scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
for turn in range(20):
    ours.zero_grad()
    theirs.zero_grad()
    h = body(torch.randn(8, 4))
    loss = head(h).square().mean() * (float("inf") if turn in (4, 5) else 1)
    scaler.scale(h.square().mean()).backward(retain_graph=True)
    scaler.scale(loss).backward()
    scaler.unscale_(ours)
    scaler.step(ours)
    scaler.step(theirs)
    scaler.update()
""",
    "the gradient of a memory, read and cleared, then used by hand (A-GEM)": """
model = nn.Linear(4, 2)
optimizer = SGD(model.parameters(), lr=0.05)
def flat():
    return torch.cat([p.grad.view(-1) for p in model.parameters()])
for turn in range(30):
    optimizer.zero_grad()
    model(torch.ones(3, 4)).square().mean().backward()
    kept = flat().clone()
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    if flat() @ kept < 0:
        for p in model.parameters():
            p.grad.copy_(torch.zeros_like(p))
    optimizer.step()
""",
    "sums of squared gradients, and no step": """
model = nn.Linear(4, 2)
optimizer, sums = SGD(model.parameters()), [torch.zeros(2, 4), torch.zeros(2)]
for turn in range(10):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    for total, p in zip(sums, model.parameters()):
        total.add_(p.grad.detach() ** 2)
""",
    "gradients of two losses, each read and cleared, for the angle between them": """
model = nn.Linear(4, 2)
optimizer, angles = SGD(model.parameters(), lr=0.05), []
for turn in range(30):
    flats = []
    for loss in (model(torch.ones(3, 4)).square().mean(), model(torch.randn(8, 4)).square().mean()):
        optimizer.zero_grad()
        loss.backward()
        flat = torch.cat([p.grad.flatten() for p in model.parameters()])
        flats.append(flat)
    angles.append(torch.cosine_similarity(*flats, dim=0).item())
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
""",
    "batches that are drawn anew until one will do": """
model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=1e-2)
for tries in (3, 2, 4, 2, 5, 3, 3, 4, 2, 5, 4, 3):
    for turn in range(9):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().mean().backward()
        if turn == tries:
            break
    optimizer.step()
""",
    "a batch that is drawn anew until one will do, and one step": """
model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=1e-2)
for turn in range(9):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    if turn == 5:
        break
optimizer.step()
""",
    "clears where the norm is large, twice in a row too": """
model = nn.Linear(4, 1)
optimizer = Adam(model.parameters(), lr=1e-2)
for turn in range(30):
    optimizer.zero_grad()
    (model(torch.randn(8, 4) * (100 if turn in (3, 4, 9, 20) else 1)) - 1).square().mean().backward()
    if nn.utils.clip_grad_norm_(model.parameters(), 5.0) > 50:
        optimizer.zero_grad()
    optimizer.step()
""",
    "a batch that is tried again in smaller parts, after it was too large": """
model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=1e-2)
def attempt(batch, parts, turn):
    for n, part in enumerate(batch.chunk(parts)):
        (model(part).square().sum() / len(batch)).backward()
        if parts == 2 and n == 1 and turn % 6 == 0:
            raise RuntimeError("out of memory")
for turn in range(24):
    batch, parts = torch.randn(8, 4), 1 if turn % 3 else 2
    while True:
        optimizer.zero_grad()
        try:
            attempt(batch, parts, turn)
            break
        except RuntimeError:
            parts *= 2
    optimizer.step()
""",
    "losses weighed by the norms of their gradients, which are cleared": """
model = nn.Linear(4, 2)
optimizer = SGD(model.parameters(), lr=0.05)
def norm():
    return sum(p.grad.square().sum() for p in model.parameters()).sqrt().item()
for turn in range(12):
    out, norms = model(torch.randn(8, 4)), []
    losses = [out[:, 0].square().mean(), (out[:, 1] - 1).square().mean()]
    for loss in losses:
        optimizer.zero_grad()
        loss.backward(retain_graph=True)
        norms.append(norm())
    optimizer.zero_grad()
    sum(loss / (0.1 + size) for loss, size in zip(losses, norms)).backward()
    optimizer.step()
""",
    "an optimizer of a frozen part that is stepped with the other one": """
body, head = nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 1)
optimizers = [SGD(body.parameters(), lr=1e-2), Adam(head.parameters())]
for turn in range(12):
    for optimizer in optimizers:
        optimizer.zero_grad()
    head(body(torch.randn(8, 4))).square().mean().backward()
    for optimizer in optimizers:
        optimizer.step()
""",
    "one gradient that is assigned for many steps": """
w = nn.Parameter(torch.ones(3))
optimizer = Adam([w])
w.grad = torch.ones(3)
for turn in range(8):
    optimizer.step()
""",
    "gradients of one part that are written by hand, of another by backward": """
model, w = nn.Linear(4, 1), nn.Parameter(torch.ones(3))
optimizer = SGD([*model.parameters(), w], lr=1e-2)
w.square().sum().backward()
for turn in range(12):
    model.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    w.grad.data.copy_(w.detach() * torch.randn(3))
    optimizer.step()
""",
    "batches that get no step, some times in a row": """
model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=0.1)
for used in (1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    if used:
        optimizer.step()
""",
}


def run_as_file(text: str, folder: Path) -> Outcome:
    """The guard reads the source too, as far as a suspicion needs it."""
    file = folder / "program.py"
    file.write_text(text, "utf-8")
    return run(text, file)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_program_is_left_in_peace(name: str, tmp_path: Path) -> None:
    outcome = run_as_file(START + RIGHT[name], tmp_path)
    assert outcome.error is None
    assert outcome.said == []


@pytest.mark.parametrize("name", WRONG)
def test_one_cause_is_one_finding_with_all_its_parameters_and_a_count(name: str, tmp_path: Path) -> None:
    text, expected = WRONG[name]
    outcome = run_as_file(START + text, tmp_path)
    assert outcome.error is None
    (finding,) = outcome.report
    expected = dict(expected)
    assert expected.pop("says", "") in finding["message"]
    assert {key: set(value) if key == "parameters" else value for key, value in finding.items() if key in expected} == (
        expected
    )


def test_what_came_before_a_fork_is_not_its_to_judge() -> None:
    """A worker of a DataLoader, made after a dry run."""
    model = nn.Linear(4, 2)
    with guarded_session() as session:
        optimizer = torch.optim.SGD(model.parameters())
        for _ in range(3):
            model(torch.zeros(2, 4)).sum().backward()
            optimizer.zero_grad()
        session.forked()
    assert session.findings == []
