"""What people do to an optimizer between two steps: operations on a run, the same for every library."""

from __future__ import annotations

import copy
import pickle
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

SHAPES: tuple[tuple[int, ...], ...] = ((3, 4), (3, 4), (5,), ())


def numbers(seed: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass
class Run:
    """An optimizer in two groups, its parameters in the order in which they came, and those without a gradient now."""

    make: Callable[..., Any]
    hypers: dict[str, Any]
    params: list[Tensor] = field(default_factory=list)
    frozen: set[int] = field(default_factory=set)
    steps: int = 0

    def __post_init__(self) -> None:
        self.params = [numbers(i, shape).requires_grad_() for i, shape in enumerate(SHAPES)]
        groups = [{"params": self.params[:2]}, {"params": self.params[2:], "lr": 0.02}]
        self.optimizer = self.make(groups, **copy.deepcopy(self.hypers))

    def step(self) -> None:
        self.steps += 1
        for i, p in enumerate(self.params):
            g = numbers(100 * self.steps + i, tuple(p.shape)).to(p.dtype)
            p.grad = None if i in self.frozen else g
        self.optimizer.step()

    def state(self, i: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.optimizer.state[self.params[i]]
        return found

    def names(self, i: int = 0) -> list[str]:
        """The states of a parameter that have its shape, or none if it never took a step."""
        held = self.optimizer.state.get(self.params[i], {})
        names = (name for name, value in held.items() if torch.is_tensor(value) and name not in ("step", "mu_product"))
        return sorted(names)

    @property
    def group(self) -> dict[str, Any]:
        found: dict[str, Any] = self.optimizer.param_groups[0]
        return found


def clone_state(run: Run) -> None:
    for name in run.names():
        run.state()[name] = run.state()[name].clone()


def zero_state(run: Run) -> None:
    for name in run.names():
        run.state()[name].zero_()


def scale_state(run: Run) -> None:
    for name in run.names(1):
        run.state(1)[name].mul_(0.5)


def state_data_elsewhere(run: Run) -> None:
    for name in run.names():
        run.state()[name].data = run.state()[name].data.clone()


def delete_state(run: Run) -> None:
    run.optimizer.state.pop(run.params[0], None)


def delete_one_state(run: Run) -> None:
    for name in run.names()[:1]:
        del run.state()[name]


def rename_state(run: Run) -> None:
    for name in run.names()[:1]:
        run.state()["put aside"] = run.state().pop(name)


def add_to_state(run: Run) -> None:
    run.state()["note"] = torch.zeros(2)


def forget_all_states(run: Run) -> None:
    run.optimizer.state = defaultdict(dict)


def replace_dictionary_of_states(run: Run) -> None:
    run.optimizer.state = defaultdict(dict, {p: dict(held) for p, held in run.optimizer.state.items()})


def replace_step(run: Run) -> None:
    if "step" in run.state():
        run.state()["step"] = torch.tensor(7.0)


def fill_step(run: Run) -> None:
    if "step" in run.state(1):
        run.state(1)["step"].fill_(3.0)


def exchange_steps(run: Run) -> None:
    a, b = run.state(0), run.state(1)
    if "step" in a and "step" in b:
        a["step"], b["step"] = b["step"], a["step"]


def exchange_states(run: Run) -> None:
    state, (p, q) = run.optimizer.state, run.params[:2]
    if p in state and q in state:
        state[p], state[q] = state[q], state[p]


def move_state_to_a_new_parameter(run: Run) -> None:
    old, new = run.params[0], run.params[0].detach().clone().requires_grad_()
    run.params[0] = new
    for group in run.optimizer.param_groups:
        group["params"] = [new if p is old else p for p in group["params"]]
    if old in run.optimizer.state:
        run.optimizer.state[new] = run.optimizer.state.pop(old)


def reverse_parameters_in_a_new_list(run: Run) -> None:
    run.group["params"] = run.group["params"][::-1]


def reverse_parameters_in_place(run: Run) -> None:
    run.group["params"].reverse()


def move_a_parameter_to_the_other_group(run: Run) -> None:
    if len(run.group["params"]) > 1:
        run.optimizer.param_groups[1]["params"].append(run.group["params"].pop())


def new_list_of_groups(run: Run) -> None:
    run.optimizer.param_groups = [dict(group) for group in run.optimizer.param_groups]


def data_elsewhere(run: Run) -> None:
    run.params[0].data = run.params[0].data.clone()


def data_of_other_numbers(run: Run) -> None:
    run.params[1].data = numbers(900 + run.steps, tuple(run.params[1].shape))


def data_relaid(run: Run) -> None:
    run.params[0].data = run.params[0].data.t().contiguous().t()


def data_with_gaps(run: Run) -> None:
    wide = numbers(800, (3, 8))
    wide[:, ::2] = run.params[0].data
    run.params[0].data = wide[:, ::2]


def memory_freed_and_given_back(run: Run) -> None:
    """As FSDP does with parameters between their uses."""
    kept, storage = run.params[0].detach().clone(), run.params[0].untyped_storage()
    size = storage.nbytes()
    storage.resize_(0)
    storage.resize_(size)
    run.params[0].data.copy_(kept)


def swap_parameters(run: Run) -> None:
    run.params[0].grad = run.params[1].grad = None
    torch.utils.swap_tensors(run.params[0], run.params[1])


def swap_with_a_stranger(run: Run) -> None:
    run.params[0].grad = None
    stranger = numbers(700 + run.steps, tuple(run.params[0].shape)).requires_grad_()
    torch.utils.swap_tensors(run.params[0], stranger)
    run.kept = [stranger]  # type: ignore[attr-defined]


def add_group(run: Run) -> None:
    run.params.append(numbers(50 + len(run.params), (2, 3)).requires_grad_())
    run.optimizer.add_param_group({"params": [run.params[-1]], "lr": 0.05})


def freeze(run: Run) -> None:
    run.frozen |= {0, 2}


def freeze_all(run: Run) -> None:
    run.frozen |= set(range(len(run.params)))


def thaw(run: Run) -> None:
    run.frozen.clear()


def halve_lr(run: Run) -> None:
    for group in run.optimizer.param_groups:
        group["lr"] = group["lr"] * 0.5


def lr_in_a_tensor(run: Run) -> None:
    run.group["lr"] = torch.tensor(0.03, dtype=torch.float64)


def fill_lr(run: Run) -> None:
    if torch.is_tensor(run.group["lr"]):
        run.group["lr"].fill_(0.007 * (run.steps + 1))


def other_betas(run: Run) -> None:
    for name in {"betas"} & run.group.keys():
        run.group[name] = (0.7, 0.8)


def edit_betas_in_place(run: Run) -> None:
    for name in {"betas"} & run.group.keys():
        if isinstance(run.group[name], tuple):
            run.group[name] = list(run.group[name])
        else:
            run.group[name][0] = 0.3 + 0.01 * run.steps


def decay(run: Run) -> None:
    run.group["weight_decay"] = 0.3


def no_decay(run: Run) -> None:
    run.group["weight_decay"] = 0.0


def other_momentum(run: Run) -> None:
    for name in {"momentum", "alpha"} & run.group.keys():
        run.group[name] = 0.35


def foreign_key(run: Run) -> None:
    run.group["name"] = f"group {run.steps}"


def load_own_state(run: Run) -> None:
    run.optimizer.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))


def copied(run: Run) -> None:
    run.optimizer, run.params = copy.deepcopy((run.optimizer, run.params))


def pickled(run: Run) -> None:
    run.optimizer, run.params = pickle.loads(pickle.dumps((run.optimizer, run.params)))


def shared_memory(run: Run) -> None:
    for name in run.names():
        run.state()[name].share_memory_()
    run.params[0].data.share_memory_()


def zero_gradients(run: Run) -> None:
    run.optimizer.zero_grad(set_to_none=False)


def flip_maximize(run: Run) -> None:
    run.group["maximize"] = not run.group["maximize"]


def flip_amsgrad(run: Run) -> None:
    for name in {"amsgrad"} & run.group.keys():
        run.group[name] = not run.group[name]


def flip_nesterov(run: Run) -> None:
    for name in {"nesterov"} & run.group.keys():
        run.group[name] = not run.group[name]


def no_step(_: Run) -> None:
    """Nothing: the plan goes on."""


ANYWHERE: tuple[Callable[[Run], None], ...] = (
    clone_state, zero_state, scale_state, state_data_elsewhere, add_to_state, replace_dictionary_of_states,
    replace_step, fill_step, exchange_steps, exchange_states, move_state_to_a_new_parameter,
    reverse_parameters_in_a_new_list, reverse_parameters_in_place, move_a_parameter_to_the_other_group,
    new_list_of_groups, data_elsewhere, data_of_other_numbers, data_relaid, data_with_gaps, memory_freed_and_given_back,
    swap_parameters, swap_with_a_stranger, add_group, freeze, freeze_all, thaw, halve_lr, lr_in_a_tensor, fill_lr,
    other_betas, edit_betas_in_place, decay, no_decay, other_momentum, foreign_key, load_own_state, copied, pickled,
    shared_memory, zero_gradients, no_step,
)  # fmt: skip
"""Torch's optimizers take all of these."""

DELETING = (delete_state, forget_all_states)
"""torch's Adagrad, which makes its states when it is made, does not take these."""

OURS_ONLY = (delete_one_state, rename_state)
"""torch raises KeyError where only a part of a state is gone; here that part starts anew."""

FLAGS = (flip_maximize, flip_nesterov, flip_amsgrad)
"""torch's Adam raises KeyError where amsgrad is switched on later."""
