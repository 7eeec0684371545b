"""The loop keeps its order, and looking on changes nothing."""

import math

import pytest
import torch
from torch import nn

import zerograd
from training.runs import prepared, read_record
from zerograd.errors import UsageError
from zerograd.training import NonFiniteError, fit
from zerograd.training.batches import order
from zerograd.training.loop import evaluate, gradient_norm, switch_to
from zerograd.training.running import carry_out


def test_zero_grad_forward_loss_backward_step():
    said = []

    class Model(nn.Linear):
        def forward(self, inputs):
            said.append("forward")
            return super().forward(inputs)

    class Loss(nn.MSELoss):
        def forward(self, outputs, targets):
            said.append("loss")
            return super().forward(outputs, targets)

    class SGD(torch.optim.SGD):
        def zero_grad(self, set_to_none=True):
            said.append("zero_grad")
            super().zero_grad(set_to_none)

        def step(self, closure=None):
            said.append("step")
            return super().step(closure)

    model = Model(2, 1)
    model.weight.register_hook(lambda _: said.append("backward"))
    optimizer = SGD(model.parameters(), lr=0.1)
    fit(model, optimizer, Loss(), (torch.ones(4, 2), torch.ones(4, 1)), batch_size=2, epochs=2, guard=False)
    assert said == ["zero_grad", "forward", "loss", "backward", "step"] * 4


@pytest.fixture
def still():
    """A model that multiplies by 1, an optimizer with a rate so small that nothing moves, and three samples."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-30)
    return model, optimizer, nn.MSELoss(), (torch.tensor([[1.0], [2.0], [4.0]]), torch.zeros(3, 1))


def test_a_record_holds_means_over_samples_although_the_last_batch_is_smaller(still):
    record = fit(*still, batch_size=2, test=still[-1]).last
    assert record["train_loss"] == pytest.approx((1 + 4 + 16) / 3)
    assert record["test_loss"] == pytest.approx((1 + 4 + 16) / 3)
    assert "train_accuracy" not in record


@pytest.mark.parametrize(
    ("accumulate", "norm"),
    [(1, (2 + 8 + 32) / 3), (2, None), (3, (2 + 8 + 32) / 3), (9, (2 + 8 + 32) / 3)],  # d/dw (w x)^2 is 2 x^2 at w = 1
)
@pytest.mark.parametrize("kind", [torch.optim.SGD, zerograd.SGD])
def test_the_gradient_norm_of_an_epoch_is_the_mean_over_its_steps(still, kind, accumulate, norm):
    model, _, loss, data = still
    optimizer = kind(model.parameters(), lr=1e-30)
    result = fit(model, optimizer, loss, data, batch_size=1, accumulate=accumulate)
    first, second, third = (2 * x.item() ** 2 for (x,) in data[0][order(3, 0, 1)])
    assert result.last["grad_norm"] == pytest.approx(norm or ((first + second) / 2 + third) / 2)
    assert result.steps == -(-3 // accumulate)


@pytest.mark.parametrize("kind", [torch.optim.SGD, zerograd.SGD])
def test_windows_are_the_batches_that_they_hold(kind):
    """Batches of 4, 4 and 2 in one window are one batch of 10; in another order of sums, hence a tolerance."""

    def weights(**options):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        data = torch.randn(10, 3), torch.randn(10, 2)
        fit(model, kind(model.parameters(), lr=0.1), nn.MSELoss(), data, epochs=5, clip=0.3, **options)
        return model.weight

    assert torch.allclose(weights(batch_size=4, accumulate=3), weights(batch_size="all"), rtol=1e-5)


def test_clipping_bounds_the_step_and_the_record_has_the_norm_before_it(still):
    model, _, loss, data = still
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    assert fit(model, optimizer, loss, data, batch_size="all", clip=0.5).last["grad_norm"] == pytest.approx(14)
    assert model.weight.item() == pytest.approx(0.5)


def test_the_norm_is_that_of_the_whole_gradient_which_stays_as_it_was():
    model = nn.Linear(3, 2)
    model(torch.ones(4, 3)).square().sum().backward()
    before = [p.grad.clone() for p in model.parameters()]
    assert gradient_norm(model) == pytest.approx(torch.cat([g.flatten() for g in before]).norm().item())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), before, strict=True))


def test_evaluation_leaves_weights_and_gradients_alone():
    run = prepared(task="digits")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    recorded = []
    run.model.register_forward_hook(lambda *call: recorded.append(call[-1].requires_grad))
    run.model.eval()
    evaluate(run.job, run.job.held_out["test"])
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())
    assert all(p.grad is None for p in run.model.parameters())
    assert recorded == [False, False]


def test_modes_are_switched_where_they_exist():
    model = nn.Dropout()
    averaging = prepared(task="seed", optimizer="ScheduleFreeAdamW")
    plain = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)  # torch's know no modes
    weights = averaging.model[0].weight
    carry_out(averaging.job, None)
    evaluated = weights.detach().clone()
    switch_to("train", model, averaging.optimizer, plain)
    assert model.training
    assert not torch.equal(weights, evaluated)
    switch_to("eval", model, averaging.optimizer, plain)
    assert not model.training
    assert torch.allclose(weights, evaluated)


def test_a_loss_that_is_not_finite_ends_the_training_and_stays_in_the_record(keep, capsys):
    folder = keep(task="seed", lr=1e30, epochs=50)
    *earlier, last = read_record(folder)
    assert 0 < len(earlier) < 49
    assert last["train_loss"] is None or last["grad_norm"] is None or last["train_loss"] > 1e30
    assert all(math.isfinite(line["train_loss"]) for line in earlier)
    assert "Try a smaller --lr" in capsys.readouterr().err


BROKEN = torch.tensor([[1.0], [2.0], [math.nan], [3.0]])


def broken(nonfinite, **options):
    """A training on four samples, one of them not a number, in an order that is known."""
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    batches = [(inputs, inputs) for inputs in BROKEN.split(1)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return model, lambda: fit(model, optimizer, nn.MSELoss(), batches, nonfinite=nonfinite, **options)


def test_it_stops_before_the_step_that_would_use_it_and_names_step_and_cure(tmp_path):
    model, run = broken("raise", out=tmp_path / "run")
    with pytest.raises(
        NonFiniteError, match=r"step 3, in epoch 1: the loss is not finite any more \(nan\).*smaller lr"
    ):
        run()
    assert math.isfinite(model.weight.item())
    (line,) = read_record(tmp_path / "run")
    assert line["train_loss"] is None


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_what_is_not_finite_can_be_left_out(accumulate):
    model, run = broken("skip", accumulate=accumulate)
    assert math.isnan(run().last["train_loss"])  # and the record says so
    assert math.isfinite(model.weight.item())


def test_or_used_as_torch_does():
    model, run = broken("propagate")
    assert run().steps == 4
    assert math.isnan(model.weight.item())


def test_a_gradient_that_is_not_finite_stops_it_too():
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model.weight.item()
    root = (torch.zeros(2, 1), torch.zeros(2, 1))
    with pytest.raises(NonFiniteError, match="step 1, in epoch 1: the gradient's norm is not finite any more"):
        fit(model, optimizer, lambda outputs, _: (outputs * 0).sqrt().mean(), root)
    assert model.weight.item() == before


def test_the_learning_rate_follows_the_schedule(keep):
    rates = [line["lr"] for line in read_record(keep(epochs=4, batch_size="all", lr=1.0))]
    assert rates == pytest.approx([1.0, 0.853553, 0.5, 0.146447], abs=1e-6)


SCHEDULES = {  # the rates of 6 steps from 1.0; onecycle's by its own formula, checked at its ends and its top
    "constant": [1, 1, 1, 1, 1, 1],
    "linear": [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6],
    "cosine": [(1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)],
    "step": [1, 1, 0.1, 0.1, 0.01, 0.01],
}


def rates(schedule, **options):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    data = (torch.zeros(4, 2), torch.zeros(4, 1))
    result = fit(model, optimizer, nn.MSELoss(), data, epochs=6, batch_size="all", schedule=schedule, **options)
    return [line["lr"] for line in result.lines]


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_by_name(name):
    assert rates(name) == pytest.approx(SCHEDULES[name], abs=1e-12)


def test_a_warm_up_rises_along_a_line_and_the_schedule_follows():
    assert rates("linear", warmup=2) == pytest.approx([0.01, 0.505, 1, 3 / 4, 2 / 4, 1 / 4])
    assert rates("onecycle")[0] == pytest.approx(0.04)
    assert 0.9 < max(rates("onecycle")) <= 1
    with pytest.raises(UsageError, match="warmup 6 leaves nothing of the 6 steps"):
        rates("cosine", warmup=6)


def test_a_scheduler_of_torchs_for_steps_or_epochs_or_plateaus():
    model = nn.Linear(2, 1)
    data = (torch.zeros(4, 2), torch.full((4, 1), math.pi))

    def run(make, **options):
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-30)
        result = fit(model, optimizer, nn.MSELoss(), data, epochs=3, batch_size=2, schedule=make(optimizer), **options)
        return [line["lr"] / 1e-30 for line in result.lines]

    lr_scheduler = torch.optim.lr_scheduler
    assert run(lambda o: lr_scheduler.ExponentialLR(o, 0.5)) == pytest.approx([1, 1 / 4, 1 / 16])
    assert run(lambda o: lr_scheduler.ExponentialLR(o, 0.5), schedule_each="epoch") == pytest.approx([1, 1 / 2, 1 / 4])
    assert run(lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, eps=0)) == pytest.approx([1, 1, 0.1])
