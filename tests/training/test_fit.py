"""``fit`` takes what users have, refuses what can't work before anything is changed, and gives back what it did."""

import json

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import zerograd
from zerograd.cli.main import main
from zerograd.errors import UsageError
from zerograd.training import Samples, Task, compiling, fit, read_checkpoint
from zerograd.training.loop import gradient_norm

INPUTS = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
TARGETS = INPUTS.sum(1, keepdim=True)
PAIR = INPUTS, TARGETS


class Lazy:
    """Samples that are made when they are asked for."""

    def __len__(self):
        return 20

    def batch(self, chosen):
        return INPUTS[chosen], TARGETS[chosen]


def setting(lr=0.1):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    return model, zerograd.SGD(model.parameters(), lr=lr), nn.MSELoss()


TASK = Task("sums", lambda: setting()[0], lambda: (Samples(*PAIR), Samples(*PAIR)), nn.MSELoss())
KINDS = {
    "tensors": PAIR,
    "a list": list(PAIR),
    "lazy samples": Lazy(),
    "a loader": DataLoader(TensorDataset(*PAIR), batch_size=20),
    "a list of batches": [PAIR],
    "a task": TASK,
}


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_all_kinds_of_data_train_alike(data):
    model, optimizer, loss = setting()
    result = fit(model, optimizer, None if data is TASK else loss, data, epochs=3, batch_size="all")
    plain, optimizer, loss = setting()
    for _ in range(3):
        optimizer.zero_grad()
        loss(plain(INPUTS), TARGETS).backward()
        optimizer.step()
    assert torch.equal(model.weight, plain.weight)
    assert (result.steps, len(result.lines), result.stopped, result.folder) == (3, 3, "finished", None)
    assert not model.training


REFUSED = {
    "no loss": ({"loss": None}, "There is no loss"),
    "no optimizer": ({"optimizer": "AdamW"}, "optimizer is str; it must be an optimizer"),
    "unequal": ({"train": (INPUTS, TARGETS[1:])}, "train: 20 inputs and 19 targets"),
    "nothing": ({"train": (INPUTS[:0], TARGETS[:0])}, "train: there are no samples in it"),
    "a generator": ({"train": (pair for pair in [PAIR])}, "train: a generator can be read only once"),
    "a number": ({"train": 3}, "train is int; it must be"),
    "a task that is not there": ({"train": "digit"}, "There is no task 'digit'. Did you mean 'digits'?"),
    "no length": (
        {"train": type("Endless", (), {"__iter__": lambda _: iter([PAIR])})(), "schedule": "cosine"},
        "no len",
    ),
    "a schedule": ({"schedule": "cosin"}, "schedule knows no 'cosin'. Did you mean 'cosine'?"),
    "epochs": ({"epochs": 0}, "epochs must be 1 or more"),
    "a metric": ({"metric": "train_los"}, "metric knows no 'train_los'. Did you mean 'train_loss'?"),
    "no batches": ({"train": []}, "train: there are no batches in it"),
    "half an epoch": ({"epochs": 1.5}, "epochs must be a whole number, not 1.5"),
    "a size": ({"batch_size": "al"}, "or the word 'all', not 'al'"),
    "when": ({"schedule_each": "stp"}, "schedule_each knows no 'stp'. Did you mean 'step'?"),
    "no function": ({"loss": "mse"}, "loss is 'mse'; it must be a function"),
    "no model": ({"model": None}, "model is NoneType; it must be a torch.nn.Module"),
    "another's": ({"optimizer": torch.optim.SGD(nn.Linear(1, 1).parameters())}, "none of the model's parameters"),
    "LBFGS": ({"optimizer": torch.optim.LBFGS(nn.Linear(1, 1).parameters())}, "optimizer is LBFGS"),
    "resume without a folder": ({"resume": True}, "resume=True goes on in a folder"),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused(change, words):
    model, optimizer, loss = setting()
    given = {"model": model, "optimizer": optimizer, "loss": loss, "train": PAIR, **change}
    with pytest.raises(UsageError) as caught:
        fit(**given)
    assert words in str(caught.value)
    assert "--" not in str(caught.value), "arguments have no dashes"


@pytest.mark.parametrize("length", [0, 100, 2000])
def test_a_damaged_checkpoint_is_told_as_such(tmp_path, length):
    fit(*setting(), PAIR, out=tmp_path / "run", epochs=1)
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:length])
    with pytest.raises(UsageError, match=r"last\.pt is no checkpoint, or a damaged one"):
        fit(*setting(), PAIR, out=tmp_path / "run", epochs=1, resume=True)


def test_what_a_checkpoint_cannot_hold_is_refused_before_the_first_step(tmp_path):
    model, optimizer, loss = setting()
    optimizer.param_groups[0]["words"] = Lazy()
    before = model.weight.clone()
    with pytest.raises(UsageError, match="This run can't be kept"):
        fit(model, optimizer, loss, PAIR, out=tmp_path / "run")
    assert torch.equal(model.weight, before)


def test_a_run_is_only_resumed_as_it_was_begun(tmp_path):
    def run(**options):
        return fit(*setting(), PAIR, out=tmp_path / "run", resume=True, **{"epochs": 2, **options})

    first = run()  # nothing to go on with: it begins
    assert run().lines == first.lines
    with pytest.raises(UsageError, match="was begun with epochs=2, and now it is 3"):
        run(epochs=3)
    with pytest.raises(UsageError, match="holds a run already"):
        fit(*setting(), PAIR, out=tmp_path / "run")
    other = nn.Linear(3, 1, bias=False)
    config = tmp_path / "run" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "parameters": 3}))
    with pytest.raises(UsageError, match="The checkpoint belongs to another model or optimizer"):
        fit(other, zerograd.SGD(other.parameters()), nn.MSELoss(), PAIR, out=tmp_path / "run", resume=True, epochs=2)


def test_the_command_says_how_to_go_on_with_what_was_made_in_python(tmp_path, capsys):
    fit(*setting(), PAIR, out=tmp_path / "run")
    assert main(["train", "--resume", str(tmp_path / "run")]) == 2
    assert "run was made in Python. To go on with it, call fit() again, with out=" in capsys.readouterr().err


def test_the_best_of_an_averaging_optimizer_is_the_average(tmp_path):
    model, _, loss = setting()
    optimizer = zerograd.ScheduleFreeAdamW(model.parameters(), lr=0.1)
    result = fit(model, optimizer, loss, PAIR, epochs=4, batch_size=5, test=PAIR, out=tmp_path / "run")
    best = read_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt")
    assert not torch.equal(best["model"]["weight"], best["evaluated"]["weight"])
    model.load_state_dict(best["evaluated"])
    assert loss(model(INPUTS), TARGETS).item() == result.best_value


def test_early_stopping_counts_from_the_best_epoch():
    model, optimizer, loss = setting(lr=1e-30)
    values = iter([3.0, 1.0, 2.0, 1.0, 5.0, 9.0])
    scores = {"score": lambda *_: torch.tensor(next(values))}
    result = fit(
        model, optimizer, loss, PAIR, epochs=9, batch_size="all", metrics=scores, metric="train_score:min", patience=3
    )
    assert (result.stopped, len(result.lines), result.best_epoch, result.best_value) == ("patience", 5, 2, 1.0)
    values = iter([3.0, 4.0, 2.0, 1.0, 5.0, 9.0])
    result = fit(
        model, optimizer, loss, PAIR, epochs=4, batch_size="all", metrics=scores, metric="train_score", patience=9
    )
    assert (result.stopped, len(result.lines), result.best_epoch) == ("finished", 4, 2)


def test_the_guard_watches_unless_told_not_to():
    def run(**options):
        model, _, loss = setting()

        class Forgetful(torch.optim.SGD):
            def zero_grad(self, set_to_none=True):
                pass

        return fit(model, Forgetful(model.parameters(), lr=0.01), loss, PAIR, epochs=3, batch_size=5, **options)

    with pytest.warns(zerograd.HazardWarning, match="ZG101"):
        assert run().findings
    assert run(guard=False).findings == []


def test_compiling_keeps_the_names_of_the_weights(monkeypatch, tmp_path):
    """What is asked of torch.compile, which would take half a minute here: one program for each shape."""
    calls = []

    def compiler(model, **options):
        calls.append(options)
        return lambda inputs: model(inputs)

    monkeypatch.setattr(compiling.torch, "compile", compiler)
    monkeypatch.setattr(compiling.shutil, "which", lambda _: "/usr/bin/g++")
    model, optimizer, loss = setting()
    fit(model, optimizer, loss, PAIR, compile=True, out=tmp_path / "run")
    assert calls == [{"dynamic": False}]  # else the programs would depend on the shapes that came before
    assert set(read_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")["model"]) == {"weight", "bias"}


def test_the_norm_of_sparse_and_of_enormous_gradients():
    table = nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([1, 1, 3])).sum().backward()
    assert gradient_norm(table) == pytest.approx((4 + 4 + 1 + 1) ** 0.5)
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.full((2,), 1e30)
    assert gradient_norm(nn.ParameterList([weight])) == pytest.approx(2**0.5 * 1e30)
