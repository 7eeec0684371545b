"""The optimizer: torch.optim.Optimizer's whole interface, around a rule.

A class is a rule with defaults and a signature (``construction``); what an object of it does is here, and the work
is done in ``gathering`` and ``stepping``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import torch
from torch import Tensor

from zerograd.algebra.notation import Policy, Rule, View
from zerograd.engine import early_states, evaluation, stepping
from zerograd.engine.checkpoints import load, stray_parameters
from zerograd.engine.columns import Column
from zerograd.engine.dynamo import untraced
from zerograd.engine.explaining import explained
from zerograd.engine.gradients import checked_nonfinite
from zerograd.engine.hooks import hooked
from zerograd.engine.inventory import represented
from zerograd.engine.programs import Programs, programs_of
from zerograd.engine.state_formats import StateChoices, makes_noise, new_seed
from zerograd.engine.state_formats import checked as checked_states
from zerograd.engine.validation import OTHER_NAMES, POLICY, check_hypers, check_parameters, warn_of_misspelt
from zerograd.errors import did_you_mean, nearest
from zerograd.formats.stochastic import WEIGHT_FORMATS
from zerograd.lifecycle.clipping import GlobalNorm, as_policy
from zerograd.lifecycle.light import Light
from zerograd.lifecycle.loss_scaling import UnscalingSteps, step_scale
from zerograd.lifecycle.stamps import Declared, scale_of_step

if TYPE_CHECKING:
    from zerograd.engine.eager_plan import EagerPlan
    from zerograd.engine.incompatible import IncompatibleKeys
    from zerograd.engine.plan import Plan

# torch hides these from its compiler with a decorator that imports the compiler (2 s) at the first call.
_BASE = torch.optim.Optimizer
_base_add_param_group: Callable[..., None] = inspect.unwrap(_BASE.add_param_group)
_base_state_dict: Callable[..., dict[str, Any]] = inspect.unwrap(_BASE.state_dict)


class RuleOptimizer(torch.optim.Optimizer):
    """Base of all optimizers that are made from a rule; see ``zerograd.from_rule``.

    rule: what moves the parameters. order: the constructor's arguments. keeps_step: ``state[p]["step"]`` exists even
    if the rule does not read it, as in torch; int if checkpoints hold it as a whole number. sparse: None, "rows" (rows
    without a gradient are left alone), "only" (and there are no other gradients) or "dense". view: what ``eval()`` puts
    into the parameters. starts_early: whether the constructor makes the states, as torch's Adagrad. group_keys: what
    every group holds, for torch to read.

    clip: the largest norm of all gradients together, as a policy. weight_format: None, or "stochastic" for bfloat16
    weights that are rounded so. state_format: how states are stored, where not in the parameter's dtype. With either
    each group holds the ``noise_seed``. nonfinite: what is done about gradients that hold nan or infinities.
    grad_norm: the 2-norm of all gradients at the last step, before clipping; a float, on an accelerator a 0-dim tensor;
    None if it was not asked for.
    """

    rule: ClassVar[Rule]
    order: ClassVar[tuple[str, ...]]
    keeps_step: ClassVar[bool | type[int]]
    sparse: ClassVar[str | None]
    view: ClassVar[View | None]
    starts_early: ClassVar[bool] = False
    group_keys: ClassVar[Mapping[str, Any]] = {}
    class_programs: ClassVar[Programs]
    _check: ClassVar[Any] = None
    clip: GlobalNorm | None = None
    nonfinite: str = "propagate"
    weight_format: str | None = None
    state_format: Any = None
    grad_norm: Any = None
    _step_supports_amp_scaling = UnscalingSteps()
    _window: Declared | None = None
    _light: Light | None = None
    _rest: int = 0
    _evaluating: bool
    _policy: Policy | None
    _plans: list[Plan | EagerPlan]
    __repr__ = represented

    def __init__(self, params: Any, *args: Any, **values: Any) -> None:
        if not hasattr(type(self), "rule") or args:  # classes have constructors of their own, which come here by name
            raise TypeError(f"{type(self).__name__} has no rule; make an optimizer class with zerograd.from_rule(rule)")
        self.clip = as_policy(values.pop("clip", None), type(self).__name__)
        self.nonfinite = checked_nonfinite(values.pop("nonfinite", "propagate"), type(self).__name__)
        self.weight_format = _checked_format(values.pop("weight_format", None), type(self).__name__)
        self.state_format = values.pop("state_format", None)
        self._policy = None
        decay = values.get("weight_decay")
        if isinstance(decay, Policy):
            self._policy = decay
            values["weight_decay"] = decay.weight_decay
        self._reset()
        placed = self._placed(self._policy)
        own = placed.hypers if self._policy is not None else {}
        check_hypers(placed, {**self.rule.hypers, **own, **values}, type(self).__name__)
        if self._check is not None:
            self._check(values)
        if values.get("fused") and (values.get("foreach") or values.get("differentiable")):
            other = "foreach" if values.get("foreach") else "differentiable"
            raise RuntimeError(f"`fused` and `{other}` cannot be `True` together.")
        noisy = makes_noise(checked_states(self.state_format, self.rule, type(self).__name__))
        if noisy or self.weight_format is not None:  # in the groups, so that a checkpoint goes on with the same noise
            values["noise_seed"] = new_seed()
        try:
            _BASE.__init__(self, params, {**values, **self.group_keys})  # not the one of torch's class of the same name
        except (TypeError, ValueError, KeyError) as error:
            raise explained(error, type(self).__name__, params) from None
        if self.starts_early:
            early_states.start(self)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "step" in cls.__dict__ and not getattr(cls.__dict__["step"], "hooked", False):
            cls.step = hooked(cls.__dict__["step"])  # type: ignore[method-assign]

    # ------------------------------------------------------------------------------------------------- the cycle

    @overload
    def step(self, closure: None = None, *, divide_by: float | None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float], *, divide_by: float | None = None) -> float: ...
    @hooked
    def step(self, closure: Callable[[], float] | None = None, *, divide_by: float | None = None) -> float | None:
        """One update of every parameter that has a gradient.

        closure: evaluates the model again with gradients enabled and returns the loss, which step returns.
        divide_by: the step sees the gradients divided by this, clipping too; they stay as they are. By default what
        the window of ``accumulate`` asks for, or 1.
        Raises RuntimeError for gradients the rule can't take and in evaluation mode, TypeError or ValueError for a
        divisor that is no number above 0; nothing is changed then.
        """
        if divide_by is not None:
            scale_of_step(None, divide_by, type(self).__name__)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._evaluating:
            raise RuntimeError(
                f"{type(self).__name__}.step() in evaluation mode: the parameters hold the weights to evaluate; "
                "call optimizer.train() before going on with training"
            )
        scale = step_scale(self.__dict__) if "found_inf" in self.__dict__ else 1.0
        if scale is not None:
            if divide_by is not None or self._window is not None:
                scale *= scale_of_step(self._window, divide_by, type(self).__name__)
            stepping.take(self, scale)
            if self._window is not None:
                self._window.close()
                self._window = None
        return loss

    @untraced
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients: set them to None or, with ``set_to_none=False``, to zeros in place."""
        if set_to_none:
            for group in self.param_groups:
                for p in group["params"]:
                    p.grad = None
            return
        dense: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for group in self.param_groups:
            for p in group["params"]:
                if (g := p.grad) is None:
                    continue
                if g.grad_fn is not None:
                    g.detach_()
                else:
                    g.requires_grad_(False)
                if g.layout != torch.strided:
                    g.zero_()
                else:
                    dense.setdefault((g.device, g.dtype), []).append(g)
        for grads in dense.values():
            torch._foreach_zero_(grads)

    def train(self, mode: bool = True) -> None:
        """Put the training weights back into the parameters after ``eval()``; without a view there is nothing to do."""
        if not mode:
            self.eval()
        elif self._evaluating:
            evaluation.leave(self)
            self._evaluating = False

    def eval(self) -> None:
        """Put the weights to evaluate and to save into the parameters, for classes that have such (an average).

        The training weights are kept in the state, bit for bit, until ``train()``.
        """
        if self.view is not None and not self._evaluating:
            evaluation.enter(self, self.view)
            self._evaluating = True

    # ---------------------------------------------------------------------------------------------------- groups

    @untraced
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as torch's; its hyper-parameters are checked, and weight_decay may be a policy of its own.

        A key that is no hyper-parameter is kept, as in torch; UserWarning if it is spelt much like one.
        """
        if isinstance(param_group, dict):
            decay = param_group.get("weight_decay")
            own: dict[str, Any] = {}
            if isinstance(decay, Policy):
                own = {POLICY: decay, "weight_decay": decay.weight_decay}
            merged = {**param_group, **own}
            check_hypers(self._group_rule(merged), self._hypers(merged), type(self).__name__)
            as_policy(merged.get("clip"), type(self).__name__)
            states = checked_states(merged.get("state_format"), self.rule, type(self).__name__)
            if makes_noise(states) and "noise_seed" not in param_group:
                own["noise_seed"] = self.defaults.get("noise_seed", new_seed())
            warn_of_misspelt(param_group, self.defaults, type(self).__name__)
            param_group.update(own)
        try:
            _base_add_param_group(self, param_group)
        except (TypeError, ValueError, KeyError) as error:
            given = param_group.get("params") if isinstance(param_group, dict) else None
            raise explained(error, type(self).__name__, given) from None
        last = len(self.param_groups) - 1
        try:
            check_parameters(self.rule, self.param_groups[last]["params"], last, type(self).__name__)
        except ValueError:
            self.param_groups.pop()
            raise

    def _hypers(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """lr and the rule's hyper-parameters as they hold for a group now."""
        known = self._group_rule(group).hypers
        names = ("lr", *known)
        return {n: group[n] if n in group else self.defaults.get(n, known.get(n)) for n in names}

    def _group_rule(self, group: Mapping[str, Any]) -> Rule:
        return self._placed(group.get(POLICY, self._policy))

    def _placed(self, policy: Policy | None) -> Rule:
        return self._programs_for(policy).rule

    def _programs(self, group: Mapping[str, Any]) -> Programs:
        return self._programs_for(group.get(POLICY, self._policy))

    def _programs_for(self, policy: Policy | None) -> Programs:
        if policy is None:
            return self.class_programs
        if policy not in self._policy_programs:
            self._policy_programs[policy] = programs_of(policy.placed_in(self.rule))
        return self._policy_programs[policy]

    # ----------------------------------------------------------------------------------------------------- state

    def _reset(self) -> None:
        self._state_choices = StateChoices(self)
        self._columns: dict[str, Column] = {}
        self._plans = []
        self._stepped: list[frozenset[int]] = []
        self._irregular = 0  # how many more steps were gathered than taken by plans
        self._policy_programs: dict[Policy, Programs] = {}
        self._evaluating = False

    @property
    def _plan(self) -> Plan | EagerPlan | None:
        """The plan of the last step, if it has one."""
        return self._plans[0] if self._plans else None

    def _column(self, name: str) -> Column:
        if name not in self._columns:
            default = torch.get_default_dtype()  # as torch: numbers are float32 unless the default is float64
            self._columns[name] = Column(name, torch.float64 if default == torch.float64 else torch.float32)
        return self._columns[name]

    @untraced
    def state_dict(self) -> dict[str, Any]:
        """The state and the groups, as torch's: loads into the torch class of the same name, and back."""

        def plain(_: Any, packed: dict[str, Any]) -> None:
            for group in packed["param_groups"]:
                group.pop(POLICY, None)
                group.pop("state_format", None)  # the states say themselves how they are stored
                for name, value in group.items():
                    if name in self.rule.states and isinstance(value, Tensor):
                        group[name] = value.item()
            if self.keeps_step is int:
                held = packed["state"]
                packed["state"] = {k: _whole_steps(v) for k, v in held.items()}

        handle = self.register_state_dict_post_hook(plain, prepend=True)  # before the user's, which may change it all
        try:
            return _base_state_dict(self)
        except KeyError:
            if not (strays := stray_parameters(self)):
                raise
            raise KeyError(
                f"{type(self).__name__}.state_dict(): the state has {len(strays)} parameters that are in no group, the "
                f"first of shape {strays[0]}; delete their entries of optimizer.state, or put them into a group"
            ) from None
        finally:
            handle.remove()

    @overload
    def load_state_dict(self, state_dict: Mapping[str, Any], *, strict: Literal[True] = True) -> None: ...
    @overload
    def load_state_dict(self, state_dict: Mapping[str, Any], *, strict: Literal[False]) -> IncompatibleKeys: ...
    @untraced
    def load_state_dict(self, state_dict: Mapping[str, Any], *, strict: bool = True) -> IncompatibleKeys | None:
        """Load what ``state_dict()`` of this class, or of torch's of the same name, gave.

        Parameters are paired by name where both sides have ``param_names``, in any order and however they are split
        into groups, else by position as in torch. Tensors keep their dtype and move to their parameter's device. Group
        keys that the checkpoint lacks are kept. strict: whether everything must fit; with ``strict=False`` what fits is
        loaded, the rest keeps its state, and the report says what was left out.
        Raises ValueError, before anything is changed, if parameters, groups or shapes do not match or a group would
        take its options from two that differ; KeyError for a dictionary that is no state dict; RuntimeError in
        evaluation mode.
        """
        if self._evaluating:
            raise RuntimeError(
                f"{type(self).__name__}.load_state_dict() in evaluation mode would lose the training weights; "
                "call optimizer.train() first"
            )
        report = load(self, state_dict, strict)
        return None if strict else report

    def __getstate__(self) -> dict[str, Any]:
        own = ("_policy", "clip", "weight_format", "state_format", "nonfinite", "grad_norm")
        return {**_BASE.__getstate__(self), **{name: self.__dict__[name] for name in own if name in self.__dict__}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        _BASE.__setstate__(self, state)
        if "_policy" not in self.__dict__:
            self._policy = None
        self._reset()
        self._evaluating = any(
            evaluation.TRAINING_WEIGHTS in held for held in self.state.values() if isinstance(held, dict)
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        from zerograd.engine.construction import reduced

        return reduced(self, protocol)


def _whole_steps(state: Any) -> Any:
    """One parameter's state with its step as a whole number; what somebody else keeps in the state is left alone."""
    return {n: int(v) if n == "step" else v for n, v in state.items()} if isinstance(state, dict) else state


def _checked_format(value: Any, optimizer: str) -> str | None:
    if value not in WEIGHT_FORMATS:
        names = [name for name in WEIGHT_FORMATS if name is not None]
        raise ValueError(
            f"{optimizer}: weight_format={value!r}; it is None or a name. {did_you_mean(str(value), names)}"
        )
    return value if value is None else str(value)


def bind(signature: inspect.Signature, name: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor by name; TypeError with the nearest valid name for one that it does not have."""
    for key in keywords:
        if key not in signature.parameters:
            meant = OTHER_NAMES.get(key)
            near = meant if meant in signature.parameters else nearest(key, signature.parameters)
            hint = f"; did you mean {near!r}?" if near else f"; it takes {', '.join(signature.parameters)}"
            raise TypeError(f"{name}() got an unexpected keyword argument {key!r}{hint}")
    try:
        bound = signature.bind(*args, **keywords)
    except TypeError as error:
        raise TypeError(f"{name}(): {error}") from None
    bound.apply_defaults()
    return dict(bound.arguments)
