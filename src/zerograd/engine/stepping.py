"""The step: take the plan or gather, prepare the gradients, run the buckets, keep what they say. The only one.

Kernels that need a reduction over more than their own tensors stop and ask for it; the loop runs all kernels up to
that point, adds their parts up and goes on. Nothing is counted before every kernel has finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from zerograd.engine import gradients
from zerograd.engine.buckets import Bucket
from zerograd.engine.eager_plan import EagerPlan, suits
from zerograd.engine.gathering import Gathering
from zerograd.engine.kernel_buckets import CompiledBucket
from zerograd.engine.plan import Plan
from zerograd.kernels.reducing import Kernel, Partial, combined, like

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

PLANS = 4
"""How many plans are kept: parts of a model may take turns in getting gradients."""


def take(optimizer: RuleOptimizer) -> None:
    """One update of every parameter that has a gradient."""
    plans = optimizer._plans
    for plan in plans:
        if _taken(optimizer, plan):
            if plan is not plans[0]:
                plans.remove(plan)
                plans.insert(0, plan)
            return
    plans[:] = [plan for plan in plans if plan.reusable]  # the others hold on to tensors that are not used any more
    enabled = torch.is_grad_enabled()
    torch._C._set_grad_enabled(bool(optimizer.defaults.get("differentiable")))
    try:
        _gather(optimizer)
    finally:
        torch._C._set_grad_enabled(enabled)


def _taken(optimizer: RuleOptimizer, plan: Plan | EagerPlan) -> bool:
    """Take the step by a plan; False, with nothing changed, if the plan does not fit or leaves something over."""
    if plan.whole is not None:
        return plan.take()
    if plan.rest or not plan.ready():
        return False
    try:
        if not plan.measures or gradients.prepare(optimizer, plan.buckets):
            run(plan.buckets)
            plan.keep()
    finally:
        plan.release()
    return True


def _gather(optimizer: RuleOptimizer) -> None:
    """A step of which all, or what a plan leaves over, is gathered anew."""
    plan = next((plan for plan in optimizer._plans if plan.rest and not plan.entangled() and plan.ready()), None)
    gathered = Gathering(optimizer, without=plan.covered if plan else frozenset())
    buckets = [*(plan.buckets if plan else []), *gathered.buckets]
    measures = gradients.are_measured(optimizer)
    taken = False
    try:
        taken = not measures or gradients.prepare(optimizer, buckets)
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
        if gathered.compiled:  # what was left over has become fit: the next step is gathered as a whole
            optimizer._plans.remove(plan)
    gathered.keep()
    kind: type[Plan | EagerPlan] | None = Plan if gathered.compiled else EagerPlan if suits(gathered) else None
    if not plan and kind is not None and _worth_a_plan(optimizer, gathered.ids):
        optimizer._plans[:] = [kind(optimizer, gathered, measures), *optimizer._plans[: PLANS - 1]]


def _worth_a_plan(optimizer: RuleOptimizer, ids: frozenset[int]) -> bool:
    """Whether a step of just these parameters will come again: the first of all, or one that has come before."""
    again = not optimizer._stepped or ids in optimizer._stepped
    optimizer._stepped = [ids, *(one for one in optimizer._stepped if one != ids)][:PLANS]
    return again


def run(buckets: Sequence[Bucket | CompiledBucket]) -> None:
    """Run the kernels of all buckets to their end."""
    if all(isinstance(bucket, CompiledBucket) and bucket.single_pass for bucket in buckets):
        for bucket in buckets:
            bucket.launch()  # type: ignore[union-attr]  # it is a compiled one
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
