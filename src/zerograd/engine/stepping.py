"""The step: take the plan or gather, prepare the gradients, run the buckets, keep what they say. The only one.

Kernels that need a reduction over more than their own tensors stop and ask for it; the loop runs all kernels up to
that point, adds their parts up and goes on. Nothing is counted before every kernel has finished.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from zerograd.engine import gradients
from zerograd.engine.buckets import Bucket
from zerograd.engine.eager_plan import EagerPlan, suits
from zerograd.engine.gathering import Gathering
from zerograd.engine.incomplete import refuse_incomplete
from zerograd.engine.kernel_buckets import CompiledBucket
from zerograd.engine.matrix_buckets import MatrixBucket
from zerograd.engine.plan import Plan
from zerograd.engine.recording import is_watched
from zerograd.engine.validation import check_groups, check_keys
from zerograd.kernels.reducing import Kernel, Partial, combined, like

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

PLANS = 4
"""How many plans are kept: parts of a model may take turns in getting gradients."""

PATIENCE, RETRY = 8, 16
"""So many more steps gathered than taken by plans, and steps do not repeat themselves: then gathering has to be quick,
and a plan is tried at each 16th such step."""


def take(optimizer: RuleOptimizer, scale: float = 1.0) -> None:
    """One update of every parameter that has a gradient.

    scale: what the gradients are multiplied by before anything else is done to them.
    """
    try:
        _take(optimizer, scale)
    except (TypeError, ValueError, RuntimeError):
        check_groups(optimizer)  # a number that somebody has put into a group since: say which
        raise


def _take(optimizer: RuleOptimizer, scale: float) -> None:
    plans = optimizer._plans
    for plan in plans if not is_watched() else ():
        if _taken(optimizer, plan, scale):
            optimizer._irregular = max(0, optimizer._irregular - 1)
            if plan is not plans[0]:
                plans.remove(plan)
                plans.insert(0, plan)
            return
    plans[:] = [plan for plan in plans if plan.reusable]  # the others hold on to tensors that are not used any more
    enabled = torch.is_grad_enabled()
    torch._C._set_grad_enabled(bool(optimizer.defaults.get("differentiable")))
    try:
        _gather(optimizer, scale)
    finally:
        torch._C._set_grad_enabled(enabled)


def _taken(optimizer: RuleOptimizer, plan: Plan | EagerPlan, scale: float) -> bool:
    """Take the step by a plan; False, with nothing changed, if the plan does not fit or leaves something over."""
    if plan.whole is not None:
        return plan.take(scale)
    if plan.rest or not plan.ready():
        return False
    try:
        if gradients.prepare(optimizer, plan.buckets, scale, plan.measures):
            run(plan.buckets)
            plan.keep()
    finally:
        plan.release()
    return True


def _gather(optimizer: RuleOptimizer, scale: float) -> None:
    """A step of which all, or what a plan leaves over, is gathered anew."""
    check_keys(optimizer)
    plans = optimizer._plans if not is_watched() else []
    plan = next((plan for plan in plans if plan.rest and not plan.entangled() and plan.ready()), None)
    score = optimizer._irregular
    if plan:
        score, plan.rests = plan.rests, plan.rests + 1
    again = functools.partial(_worth_a_plan, optimizer, score)
    gathered = Gathering(optimizer, plan.covered if plan else frozenset(), again, score > PATIENCE)
    buckets = [*(plan.buckets if plan else []), *gathered.buckets]
    measures = gradients.are_measured(optimizer)
    taken = False
    try:
        refuse_incomplete(optimizer, gathered.buckets, measures)
        taken = gradients.prepare(optimizer, buckets, scale, measures)
        if taken:
            gathered.clip_started()
            run(buckets)
    finally:
        if plan:
            plan.release()
        if not taken:
            gathered.forget()
    if not taken:
        return
    torch._C._set_grad_enabled(False)
    if not measures:
        optimizer.grad_norm = None
    if plan:
        plan.keep()
        if gathered.lasting:  # what was left over has become fit: the next step is gathered as a whole
            optimizer._plans.remove(plan)
    gathered.keep()
    optimizer._stepped = [gathered.ids, *(one for one in optimizer._stepped if one != gathered.ids)][:PLANS]
    score = optimizer._irregular
    optimizer._irregular = max(0, score - 1) if plan else score + 1 if score < 4 * RETRY else 3 * RETRY + 1
    if optimizer._irregular > 2 * PATIENCE:
        optimizer._plans[:] = [plan for plan in optimizer._plans if plan.rest]  # asking them costs time too
    kind: type[Plan | EagerPlan] | None = Plan if gathered.lasting else EagerPlan if suits(gathered) else None
    if not plan and kind is not None and gathered.again and not is_watched():
        optimizer._plans[:] = [kind(optimizer, gathered, measures), *optimizer._plans[: PLANS - 1]]


def _worth_a_plan(optimizer: RuleOptimizer, score: int, ids: frozenset[int]) -> bool:
    """Whether a step of just these parameters will come again: the first of all, or one that has come before.

    score: how often they came to nothing; where it is high, because something is exchanged before every step, or a
    gradient lies oddly every time, plans are made now and then only.
    """
    again = not optimizer._stepped or ids in optimizer._stepped
    return again and (score <= PATIENCE or score % RETRY == 0)


def run(buckets: Sequence[Bucket | CompiledBucket]) -> None:
    """Run the kernels of all buckets to their end."""
    if all(isinstance(bucket, (CompiledBucket, MatrixBucket)) and bucket.single_pass for bucket in buckets):
        for bucket in buckets:
            bucket.launch()  # type: ignore[union-attr]  # it is one of these
        return
    kernels = [(bucket, bucket.run()) for bucket in buckets]
    waiting: list[tuple[Bucket | CompiledBucket, Kernel, Partial]] = []

    def go_on(bucket: Bucket | CompiledBucket, kernel: Kernel, value: object) -> None:
        try:
            asked = kernel.send(value)  # type: ignore[arg-type]
        except StopIteration:
            return
        waiting.append((bucket, kernel, asked))

    for bucket, kernel in kernels:
        go_on(bucket, kernel, None)
    while waiting:
        # Groups first: a total over all can only be made when every kernel has come that far.
        leader = next((w for w in waiting if w[2].per == "group"), waiting[0])
        asked = leader[2]
        peers = [
            w
            for w in waiting
            if w[2].per == asked.per and (asked.per == "all" or w[0].group_index == leader[0].group_index)
        ]
        value = combined([partial for _, _, partial in peers])
        waiting[:] = [w for w in waiting if not any(w is peer for peer in peers)]
        for bucket, kernel, partial in peers:
            go_on(bucket, kernel, like(value, partial.amount))
