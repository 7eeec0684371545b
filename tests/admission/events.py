"""What happens to a parameter, its gradient or its states between two steps of the fuzz."""

from __future__ import annotations

import torch
from torch import Tensor

from admission.canaries import write
from admission.worlds import Event, Form, World

OTHER = {
    torch.float32: torch.bfloat16, torch.bfloat16: torch.float32, torch.float16: torch.float32,
    torch.float64: torch.float32,
}  # fmt: skip


def happen(world: World, event: Event) -> None:
    """Do it."""
    i = event.which
    p, g = world.params[i], world.grads[i]
    if event.what.startswith("data"):
        _to_data(world, p, event)
    elif event.what in ("no gradient", "sparse gradient", "gradient negative"):
        world.set_gradient(p, _gradient(event.what, g))
    elif event.what.startswith("gradient") and g is not None and g.shape == p.shape:
        dtype = OTHER[g.dtype] if event.what == "gradient in another dtype" else g.dtype
        world.grads[i] = _moved(world, g, event.form, dtype)
        world.set_gradient(p, world.grads[i])
    elif event.what == "lr":
        world.optimizer.param_groups[0]["lr"] *= 0.5
    else:
        _to_states(world, p, event)


def share_states(world: World) -> None:
    """The first parameter's first state becomes a view of a gradient, the last one's of its parameter."""
    for p, source in ((world.params[0], world.grads[0]), (world.params[-1], world.params[-1].detach())):
        for name in tensor_states(world, p)[:1]:
            assert source is not None
            write(source, source.abs() / 1024)  # as a state: positive, and less than the root of a mean square
            world.optimizer.state[p][name] = source.view_as(source)


def tensor_states(world: World, p: Tensor) -> list[str]:
    """The names of the states that have an element for each of the parameter's."""
    held = world.optimizer.state.get(p, {})
    return sorted(n for n, v in held.items() if torch.is_tensor(v) and n not in ("step", "mu_product", "eta", "mu"))


def _moved(world: World, tensor: Tensor, form: Form, dtype: torch.dtype) -> Tensor:
    """The same numbers in new memory, laid out anew."""
    new = world._placed(form, dtype, tuple(tensor.shape))
    write(new, tensor.detach())
    return new


def _to_data(world: World, p: Tensor, event: Event) -> None:
    what, data = event.what, p.detach()
    if what == "data elsewhere":
        new = world._memory(p.numel() * 4, p.dtype).place(p.dtype, event.form.at, p.shape, p.stride())
        write(new, data)
        p.data = new
    elif what == "data relaid":
        p.data = _moved(world, data, event.form, p.dtype)
    elif what == "data transposed" and p.dim() == 2:
        p.grad = None
        p.data = data.t()
    elif what == "data shorter" and p.dim() and p.shape[0] > 1:
        p.grad = None
        p.data = data[:1]
    elif what == "data in another dtype":
        p.grad = None
        p.data = _moved(world, data, event.form, OTHER[p.dtype])
    elif what == "data negative":
        p.data = torch._neg_view(data)


def _gradient(what: str, g: Tensor | None) -> Tensor | None:
    if what == "no gradient" or g is None:
        return None
    return torch._neg_view(g) if what == "gradient negative" else g.clone().to_sparse()


def _to_states(world: World, p: Tensor, event: Event) -> None:
    what, state = event.what, world.optimizer.state
    names = tensor_states(world, p)
    if what == "states deleted":
        state.pop(p, None)
        return
    # Zero or absent alone, RMSprop's square_avg would be less than the square of grad_avg: a root of a negative number.
    one = what in ("state cloned", "state relaid", "state data elsewhere", "state deleted")
    for name in names[:1] if one else names:
        held = state[p][name]
        if what == "state cloned":
            state[p][name] = held.clone()
        elif what == "state relaid":
            state[p][name] = _moved(world, held, event.form, held.dtype)
        elif what == "state in another dtype":
            state[p][name] = held.to(torch.float32 if held.dtype != torch.float32 else torch.bfloat16)
        elif what == "state data elsewhere":
            held.data = _moved(world, held, event.form, held.dtype)
        elif what == "states zeroed":
            held.zero_()
        elif what == "state deleted":
            del state[p][name]
        elif what == "states placed" and tuple(held.shape) == tuple(p.shape):
            new = world._memory(4 * held.numel() + 8, held.dtype).place(held.dtype, event.form.at, p.shape, p.stride())
            write(new, held)
            state[p][name] = new
