"""The loop keeps its order, and looking on changes nothing."""

import math

import pytest
import torch
from torch import nn

from training.runs import prepared, read_record
from zerograd.training.loop import evaluate, fit, gradient_norm, switch_to
from zerograd.training.samples import Batches, Samples


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
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    batches = Batches(Samples(torch.ones(4, 2), torch.ones(4, 1)), size=2, seed=0)
    list(fit(model, optimizer, Loss(), batches, scheduler, epochs=2))
    assert said == ["zero_grad", "forward", "loss", "backward", "step"] * 4


def test_a_record_holds_means_over_samples_although_the_last_batch_is_smaller():
    samples = Samples(torch.tensor([[1.0], [2.0], [4.0]]), torch.zeros(3, 1))
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-30)  # so small that nothing moves
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    (record,) = fit(model, optimizer, nn.MSELoss(), Batches(samples, 2, seed=0), scheduler, epochs=1, test=samples)
    assert record.train_loss == pytest.approx((1 + 4 + 16) / 3)
    assert record.test_loss == pytest.approx((1 + 4 + 16) / 3)
    assert record.train_accuracy is None


def test_the_gradient_norm_of_an_epoch_is_the_mean_over_its_steps():
    samples = Samples(torch.tensor([[1.0], [2.0], [4.0]]), torch.zeros(3, 1))
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-30)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    (record,) = fit(model, optimizer, nn.MSELoss(), Batches(samples, 1, seed=0), scheduler, epochs=1)
    assert record.grad_norm == pytest.approx((2 + 8 + 32) / 3)  # d/dw (w x - 0)^2 is 2 x^2 at w = 1


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
    evaluate(run.model, run.task.loss, run.test)
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())
    assert all(p.grad is None for p in run.model.parameters())
    assert recorded == [False]


def test_modes_are_switched_where_they_exist():
    model = nn.Dropout()
    averaging = prepared(task="seed", optimizer="ScheduleFreeAdamW")
    plain = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)  # torch's know no modes
    weights = averaging.model[0].weight
    *_, _last = fit(
        averaging.model, averaging.optimizer, averaging.task.loss, averaging.batches, averaging.scheduler, epochs=3
    )
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
    assert last["train_loss"] is None
    assert all(math.isfinite(line["train_loss"]) for line in earlier)
    assert "Try a smaller --lr" in capsys.readouterr().err


def test_the_learning_rate_follows_the_schedule(keep):
    rates = [line["lr"] for line in read_record(keep(epochs=4, batch_size="all", lr=1.0))]
    assert rates == pytest.approx([1.0, 0.853553, 0.5, 0.146447], abs=1e-6)
