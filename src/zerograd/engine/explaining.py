"""What to do instead, in the errors of torch's own checks of parameters, which say what is wrong and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

_CURES = {
    "empty parameter list": "a generator of parameters gives them once; call model.parameters() again, or keep a list",
    "non-leaf Tensor": "it is computed from others: give those, or a new one, tensor.detach().requires_grad_()",
    "more than one parameter group": "leave it in one of them, or give the two groups to two optimizers",
    "with/without names": "give (name, parameter) for all parameters or for none, such as model.named_parameters()",
    "must be a dict": "such as {'params': [...], 'lr': 0.1}",
}


def explained(error: Exception, optimizer: str, params: Any) -> Exception:
    """The same kind of exception with torch's words, the optimizer's name before them and the cure after them.

    params: what was given. The very error, if it has been explained or is none of torch's about parameters.
    """
    said = str(error)
    if said.startswith(f"{optimizer}: "):
        if not isinstance(params, Mapping):
            return error
        said = said[len(optimizer) + 2 :].partition("; ")[0]  # what was explained was one of its keys
    cure = _cure(said, params)
    return error if cure is None else type(error)(f"{optimizer}: {said}; {cure}")


def _cure(said: str, params: Any) -> str | None:
    if isinstance(params, nn.Module):
        return "pass model.parameters(), or model.named_parameters() for checkpoints by name"
    if isinstance(params, Tensor):
        return "put it into a list: [tensor]"
    if said == "'params'":
        return "every parameter group is a dictionary with the key 'params', a list of tensors"
    if "can only optimize Tensors" in said:
        return _cure_of_contents(params)
    if "is not iterable" in said:
        return "pass a list of tensors, such as model.parameters(), or of parameter groups"
    return next((cure for words, cure in _CURES.items() if words in said), None)


def _cure_of_contents(params: Any) -> str:
    if isinstance(params, Mapping):
        if "params" in params:
            return "one group is given as a list of one dictionary: [{'params': [...]}]"
        return "a dictionary gives its keys; pass the list of its values"
    if isinstance(params, (list, tuple)) and any(isinstance(one, nn.Module) for one in params):
        return "pass the parameters of each module: [p for module in modules for p in module.parameters()]"
    return "pass a list of tensors, such as model.parameters()"
