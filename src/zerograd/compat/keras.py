"""Keras's optimizers with Keras's arguments and formulas, as torch optimizers.

For PyTorch programs that must repeat what a TensorFlow or Keras program did. What differs from torch's classes:

- ``SGD`` keeps a velocity into which the learning rate goes; a new learning rate acts on new gradients only.
- ``RMSprop`` has epsilon inside the root, and the learning rate inside the momentum.
- ``Adam`` and ``AdamW`` add epsilon before the bias is corrected ("epsilon hat").
- ``weight_decay`` is decoupled in all of them: the weights shrink by ``learning_rate * weight_decay`` before the step.
- Epsilon is 1e-7; the learning rates are Keras's.

The first argument is the parameters, as in torch; then come Keras's. Groups and schedulers use torch's keys: ``lr``,
``betas``, ``eps``, ``alpha``. TensorFlow 1's GradientDescentOptimizer is ``SGD``; its MomentumOptimizer is
``zerograd.SGD(params, lr, momentum=...)``, where the learning rate stays outside the momentum.

Not taken over, as there are ways of torch: ``use_ema`` (``zerograd.ema``, ``swa_utils``), ``loss_scale_factor``
(GradScaler), ``gradient_accumulation_steps`` (the training loop), learning-rate schedules (``lr_scheduler``).
Keras counts steps for all variables at once, these count each tensor's own, as torch does: the same unless a tensor
has no gradient in some step.
"""

from __future__ import annotations

from typing import Any

from zerograd.compat._keras_rules import hat_adam, inside_rmsprop, keras_clipping, velocity_sgd
from zerograd.engine.construction import from_rule
from zerograd.rules import decoupled

__all__ = ["SGD", "Adam", "AdamW", "RMSprop"]

_SGD = from_rule(decoupled(keras_clipping(velocity_sgd)), name="SGD", lr=0.01)
_RMSprop = from_rule(decoupled(keras_clipping(inside_rmsprop)), name="RMSprop", lr=0.001)
_Adam = from_rule(decoupled(keras_clipping(hat_adam)), name="Adam", lr=0.001)


def _shared(
    learning_rate: float,
    weight_decay: float | None,
    clipnorm: float | None,
    clipvalue: float | None,
    global_clipnorm: float | None,
) -> dict[str, Any]:
    """What all constructors take, under the names of the rules; ValueError for more than one way to clip."""
    ways = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
    chosen = {name: limit for name, limit in ways.items() if limit is not None}
    if len(chosen) > 1:
        raise ValueError(f"Only one way to clip can be set, not {' and '.join(chosen)}; leave all but one out")
    for name, limit in chosen.items():
        if not limit > 0:
            raise ValueError(f"{name}={limit} must be more than 0, or None for no clipping")
    return {"lr": learning_rate, "weight_decay": weight_decay or 0.0, **chosen}


class SGD(_SGD):  # type: ignore[misc, valid-type]
    """Keras's SGD: ``v = momentum * v - lr * g; p += v``, with nesterov ``p += momentum * v - lr * g``.

    State per parameter: ``velocity``, shaped and typed like it; none without momentum. Raises ValueError for a
    momentum outside of 0 to 1, a negative learning rate or weight decay, and more than one way to clip.
    Keras 3, ``keras.optimizers.SGD``; Sutskever, Martens, Dahl and Hinton 2013.

    >>> import torch
    >>> w = torch.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([w], learning_rate=0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     w.grad = torch.tensor([1.0])
    ...     optimizer.step()
    >>> w
    tensor([0.7500], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum={momentum} must be between 0 and 1")
        shared = _shared(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm)
        super().__init__(params, momentum=momentum, nesterov=nesterov, **shared)


class RMSprop(_RMSprop):  # type: ignore[misc, valid-type]
    """Keras's RMSprop: ``p -= lr * g / sqrt(v + epsilon)``, with momentum on that step, learning rate included.

    rho: memory of the mean square ``v``. centered: subtract the square of the mean gradient from it. State per
    parameter, shaped and typed like it: ``square_avg``, with momentum ``momentum_buffer``, with centered ``grad_avg``.
    Raises ValueError for what is out of range and for more than one way to clip.
    Keras 3, ``keras.optimizers.RMSprop``; Tieleman and Hinton 2012.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: float = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum={momentum} must be between 0 and 1")
        if not 0 <= rho <= 1:
            raise ValueError(f"rho={rho} must be between 0 and 1")
        shared = _shared(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm)
        super().__init__(params, alpha=rho, momentum=momentum, eps=epsilon, centered=centered, **shared)


class Adam(_Adam):  # type: ignore[misc, valid-type]
    """Keras's Adam: ``p -= lr * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)``.

    State per parameter, shaped and typed like it: ``exp_avg``, ``exp_avg_sq``, with amsgrad ``max_exp_avg_sq``.
    Raises ValueError for what is out of range and for more than one way to clip.
    Keras 3, ``keras.optimizers.Adam``; Kingma and Ba 2015, arXiv 1412.6980.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        shared = _shared(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm)
        for name, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= beta < 1:
                raise ValueError(f"{name}={beta} must be at least 0 and less than 1")
        super().__init__(params, betas=(beta_1, beta_2), eps=epsilon, amsgrad=amsgrad, **shared)


class AdamW(Adam):
    """Keras's AdamW: its Adam with a weight decay of 0.004 unless another is given; decoupled, as in Keras's Adam.

    Keras 3, ``keras.optimizers.AdamW``; Loshchilov and Hutter 2019, arXiv 1711.05101.
    """

    def __init__(
        self,
        params: Any,
        learning_rate: float = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(
            params, learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, clipnorm, clipvalue, global_clipnorm
        )
