"""What programs see of an optimizer besides its steps is torch's: its class, its keys, its first state, its errors.

The table of constructions that torch's own tests run is read where torch has it installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import zerograd as optim
from engine.common import FLAGS, SHARED, noise, ours

NAMES = [*SHARED, "SparseAdam", "Adafactor", "Muon", "LBFGS"]


def p() -> torch.Tensor:
    return torch.ones(2, 2, requires_grad=True)


def result(module: Any, name: str, params: Any, **hypers: Any) -> tuple[str, str]:
    """The kind and the words of the error, or of the warning."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            getattr(module, name)(params, **hypers)
        except Exception as error:
            return type(error).__name__, str(error)
    return (said[0].category.__name__, str(said[0].message)) if said else ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_objects_are_instances_of_torchs_class(name: str) -> None:
    assert isinstance(getattr(optim, name)([p()]), getattr(torch.optim, name))


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "LBFGS"])
def test_a_group_that_lost_a_key_is_a_key_error(name: str, steps: int) -> None:
    for key in ("lr", "maximize", *getattr(optim, name).rule.hypers):
        tensor = p()
        optimizer = getattr(optim, name)([tensor])
        if key not in optimizer.param_groups[0] or key == "initial_accumulator_value":
            continue  # torch's Adagrad reads it when it is made
        for _ in range(steps):
            tensor.grad = torch.ones(2, 2) if name != "SparseAdam" else torch.ones(2, 2).to_sparse(1)
            optimizer.step()
        before = tensor.detach().clone()
        del optimizer.param_groups[0][key]
        tensor.grad = torch.ones(2, 2) if name != "SparseAdam" else torch.ones(2, 2).to_sparse(1)
        with pytest.raises(KeyError, match=key):
            optimizer.step()
        assert torch.equal(tensor, before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_the_state_before_the_first_step_is_torchs(name: str, dtype: torch.dtype) -> None:
    if dtype.is_complex and name in ("Muon", "SparseAdam"):
        pytest.skip("torch's takes no complex parameters")
    hypers = {"initial_accumulator_value": 0.5} if name == "Adagrad" else {}
    tensor = torch.ones(2, 3, dtype=dtype)
    theirs, ours = (getattr(module, name)([tensor], **hypers).state_dict()["state"] for module in (torch.optim, optim))
    assert theirs.keys() == ours.keys()
    for state, like in zip(ours.values(), theirs.values(), strict=True):
        assert list(state) == list(like)
        for key, value in state.items():
            torch.testing.assert_close(value, like[key], rtol=0, atol=0)


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "tensor": (p, r"\[tensor\]"),
    "module": (lambda: nn.Linear(2, 2), r"model\.parameters\(\)"),
    "modules": (lambda: [nn.Linear(2, 2)], "parameters of each module"),
    "dictionary": (lambda: dict(nn.Linear(2, 2).named_parameters()), "list of its values"),
    "one group": (lambda: {"params": [p()]}, "list of one dictionary"),
    "nothing": (list, r"call model\.parameters\(\) again"),
    "None": (lambda: None, "pass a list"),
    "numbers": (lambda: [1], "pass a list of tensors"),
    "set": (lambda: [{"params": {p()}}], "use a list instead"),
    "not a leaf": (lambda: [p() * 2], r"detach\(\)"),
    "no params": (lambda: [{"lr": 0.1}], "the key 'params'"),
    "some names": (lambda: [("a", p()), p()], "or for none"),
}


@pytest.mark.parametrize("name", ["AdamW", "Muon", "LBFGS"])
@pytest.mark.parametrize("what", BAD)
def test_bad_parameters_have_torchs_words_and_a_cure(name: str, what: str) -> None:
    make, cure = BAD[what]
    (kind, words), (our_kind, our_words) = (result(module, name, make()) for module in (torch.optim, optim))
    assert our_kind == kind != ""
    assert words.strip("'\"") in our_words
    if what != "set":  # torch says it all
        assert our_words.strip("'\"").startswith(f"{name}: ")
    with pytest.raises(Exception, match=cure):
        getattr(optim, name)(make())


@pytest.mark.parametrize("name", NAMES)
def test_torchs_table_of_errors_holds(name: str) -> None:
    pytest.importorskip("expecttest", reason="torch's own test tools need it")
    from torch.testing._internal import common_optimizers as table

    (info,) = (info for info in table.optim_db if info.optim_cls.__name__ == name)
    for case in info.optim_error_inputs_func("cpu", torch.float32):
        given = case.optimizer_error_input
        if case.error_on == table.OptimizerErrorEnum.CONSTRUCTION_ERROR:
            with (pytest.warns if issubclass(case.error_type, Warning) else pytest.raises)(
                case.error_type, match=case.error_regex
            ):
                getattr(optim, name)(given.params, **given.kwargs)


def test_fused_on_meta_is_refused_until_there_is_memory() -> None:
    with torch.device("meta"):
        model = nn.Linear(2, 2)
    optimizer = optim.AdamW(model.parameters(), fused=True)
    model.weight.grad = torch.ones(2, 2, device="meta")
    with pytest.raises(
        RuntimeError, match=r"`fused=True` requires all the params to be floating point Tensors.*to_empty"
    ):
        optimizer.step()
    optimizer.zero_grad()
    model.to_empty(device="cpu")
    model.weight.grad = torch.ones(2, 2)
    optimizer.step()


def test_autograd_goes_through_a_number_in_the_state() -> None:
    def moved(module: Any, product: torch.Tensor) -> torch.Tensor:
        tensor = torch.ones(3, dtype=torch.float64, requires_grad=True).clone()
        tensor.grad = torch.ones(3, dtype=torch.float64)
        optimizer = module.NAdam([tensor], differentiable=True)
        state = {name: torch.ones(3, dtype=torch.float64) for name in ("exp_avg", "exp_avg_sq")}
        optimizer.state[tensor].update(step=torch.tensor(10.0), mu_product=product.clone(), **state)
        optimizer.step()
        assert optimizer.state[tensor]["mu_product"].requires_grad
        return tensor

    grads = []
    for module in (torch.optim, optim):
        product = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        moved(module, product).sum().backward()  # type: ignore[no-untyped-call]
        grads.append(product.grad)
    torch.testing.assert_close(*grads)


def test_sparse_adam_leaves_others_entries_of_the_state_alone() -> None:
    optimizer: Any = optim.SparseAdam([p()])
    optimizer.state["mine"] = 1
    assert optimizer.state_dict()["state"] == {"mine": 1}


@pytest.mark.parametrize("name", SHARED)
def test_without_a_kernel_a_step_needs_no_more_memory_than_torch_allows_its_own(name: str) -> None:
    """torch's budget: a parameter, its gradient, its states and one more of its size."""
    p = torch.nn.Parameter(noise(0, 256, 512)[:, ::2])
    optimizer = ours(name, [p], **FLAGS.get(name, {}))
    for _ in range(2):
        p.grad = noise(1, 256, 256)
        optimizer.step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as watched:
        optimizer.step()
    now = peak = 0
    for event in watched.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    states = sum(state.numel() for state in optimizer.state[p].values() if state.dim())
    assert 0 < peak <= 4 * (3 * p.numel() + states)
