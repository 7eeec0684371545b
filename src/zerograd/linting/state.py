"""What one optimizer sees of a graph, and what may come next: the questions that the rules ask.

After a clear its gradients are clean, after a backward fresh, after a step consumed, after anything unknown unknown.
``after`` gives the events that may come next (a may analysis); a rule that wants certainty asks that they all be of
one kind (a must analysis).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from zerograd.linting.binding import Binder
from zerograd.linting.collections_of import is_some_element
from zerograd.linting.graph import Event, Graph, Loop, reach
from zerograd.linting.instances import wrapped_by
from zerograd.linting.paths import Path
from zerograd.stand_ins import Final, dataclass, field

BACKWARD: Final = "backward"
STEP: Final = "step"
CLEAR: Final = "clear"
UNKNOWN: Final = "unknown"
FOREIGN, OTHER = "foreign", "other step"
"""A backward whose gradients this optimizer does not use; a step of another optimizer."""


@dataclass
class View:
    """The events of a graph as they concern one optimizer."""

    graph: Graph
    binder: Binder
    path: Path
    alone: bool
    live: set[int]
    kinds: dict[int, str] = field(default_factory=dict)
    _of: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    _stops: dict[tuple[str, ...], set[int]] = field(default_factory=dict)
    _loops: dict[Loop, set[int]] = field(default_factory=dict)
    _same: dict[Path, bool | None] = field(default_factory=dict)
    _around: dict[Loop | None, tuple[bool, set[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known: dict[tuple[object, ...], str] = {}
        for node, event in enumerate(self.graph.events):
            if event is not None and node in self.live:
                alike = event.kind, event.path, event.of_module, event.every
                if alike not in known:
                    known[alike] = self._kind(event)
                if known[alike]:
                    self.kinds[node] = known[alike]
        if not self.alone:
            leading = self._leading_to_a_step()
            for node, kind in self.kinds.items():
                if kind == BACKWARD and leading.isdisjoint(self.graph.following[node]):
                    self.kinds[node] = FOREIGN
        self._of, self._stops = {}, {}

    def _kind(self, event: Event) -> str:
        if event.kind == BACKWARD:
            return BACKWARD
        if event.path is None:
            return UNKNOWN
        if event.of_module:
            return self._cleared_by_module(event.path)
        same = (event.every and self._is_an_element(event.path)) or self._is_same(event.path)
        if event.kind == STEP:
            return STEP if same else OTHER if same is False else UNKNOWN
        if same is False and event.kind == CLEAR:
            mine, theirs = self.binder.modules(self.path), self.binder.modules(event.path)
            return CLEAR if mine and theirs and overlap(mine, theirs) else ""
        return "" if same is False else event.kind if same else UNKNOWN

    def _is_an_element(self, every: Path) -> bool:
        """Whether the optimizer is one of a collection of which each one is meant."""
        path = self.path
        return path.home is every.home and path.parts[:-1] == every.parts[:-1] and path.key is not None

    def _is_same(self, path: Path) -> bool | None:
        if path not in self._same:
            self._same[path] = related(self.binder, path, self.path)
        return self._same[path]

    def _cleared_by_module(self, module: Path) -> str:
        """A clear of the optimizer's modules is one of its own; of what isn't known, it may be."""
        mine = self.binder.modules(self.path)
        if mine is None:
            return CLEAR if self._is_the_only_module(module) else UNKNOWN
        return CLEAR if overlap(mine, {module}) else UNKNOWN if not self._is_anothers(module) else ""

    def _is_the_only_module(self, module: Path) -> bool:
        """Whether one optimizer, which was made elsewhere, and one module are all there is."""
        if not self.alone or self.binder.constructor(self.path) is not None:
            return False
        return all(event is None or not event.of_module or event.path == module for event in self.graph.events)

    def _is_anothers(self, module: Path) -> bool:
        others = {e.path for e in self.graph.events if e is not None and e.kind == STEP and e.path is not None}
        return any(overlap(self.binder.modules(other) or (), {module}) for other in others)

    def _leading_to_a_step(self) -> set[int]:
        """The nodes from which a step of this optimizer follows before another optimizer's turn begins.

        That is before a clear or anything unknown, and before a backward that follows another optimizer's step.
        """
        preceding = self.graph.live_before
        found = {(node, stepped) for node in self.of(STEP) for stepped in (False, True)}
        waiting = list(found)
        while waiting:
            current, after_another = waiting.pop()
            for node in preceding[current]:
                kind = self.kinds.get(node, "")
                if kind in (CLEAR, UNKNOWN, STEP):
                    continue
                for stepped in (False, True):
                    state = (node, stepped)
                    if (stepped or kind == OTHER) != after_another or (kind == BACKWARD and stepped) or state in found:
                        continue
                    found.add(state)
                    waiting.append(state)
        return {node for node, stepped in found if not stepped}

    def of(self, *kinds: str) -> list[int]:
        """The nodes of some kinds, in the order of the program."""
        found = self._of.get(kinds)
        if found is None:
            found = self._of[kinds] = sorted(node for node, kind in self.kinds.items() if kind in kinds)
        return found

    @cached_property
    def clears(self) -> list[int]:
        """Where it is cleared; where it is made, it is not counted."""
        return [node for node in self.of(CLEAR) if not self.event(node).made]

    @cached_property
    def made(self) -> set[int]:
        """Where it is made."""
        return {node for node in self.of(CLEAR) if self.event(node).made}

    def around(self, loop: Loop | None) -> tuple[bool, set[str]]:
        """Whether it is cleared in a loop, and the kinds of what happens there; None stands for the whole function."""
        found = self._around.get(loop)
        if found is None:
            around = [at for at in self.kinds if loop is None or loop in self.graph.loops[at]]
            kinds = {self.kinds[at] for at in around if at not in self.graph.handlers}
            found = self._around[loop] = not set(self.clears).isdisjoint(around), kinds
        return found

    def event(self, node: int) -> Event:
        event = self.graph.events[node]
        assert event is not None
        return event

    def after(self, node: int, *stops: str, within: Loop | None = None, avoiding: int = -1) -> set[int]:
        """The first nodes of the kinds ``stops`` on all ways from a node on; ways that leave the loop end there."""
        stopping = self._stopping(stops)
        inside = self._inside(within) if within is not None else None
        reached = reach(self.graph.following, node, stopping, inside, avoiding)
        return reached & stopping if inside is None else reached & stopping & inside

    def before(self, node: int, *stops: str) -> set[int]:
        """The last nodes of the kinds ``stops`` on all ways to a node; -1 stands for ways on which there is none."""
        stopping = self._stopping(stops)
        reached = reach(self.graph.live_before, node, stopping)
        starts = {Graph.ENTRY, *self.graph.handlers} & reached
        return reached & stopping | (set() if starts <= stopping else {-1})

    def _stopping(self, kinds: tuple[str, ...]) -> set[int]:
        found = self._stops.get(kinds)
        if found is None:
            found = self._stops[kinds] = {node for node, kind in self.kinds.items() if kind in kinds}
        return found

    def _inside(self, loop: Loop) -> set[int]:
        found = self._loops.get(loop)
        if found is None:
            found = self._loops[loop] = {at for at, loops in enumerate(self.graph.loops) if loop in loops}
        return found

    def are(self, nodes: Iterable[int], kind: str) -> bool:
        """Whether there are nodes and all of them are of one kind."""
        listed = list(nodes)
        return bool(listed) and all(at >= 0 and self.kinds.get(at) == kind for at in listed)

    def common_loop(self, *nodes: int) -> Loop | None:
        """The innermost loop that all nodes are in."""
        chains = [self.graph.loops[node] for node in nodes]
        shared = [loop for loop in chains[0] if all(loop in other for other in chains[1:])]
        return shared[-1] if shared else None


def related(binder: Binder, one: Path, other: Path) -> bool | None:
    """Whether two paths are the same optimizer; None if that can't be told."""
    if one == other or binder.origins(one) & binder.origins(other):
        return True
    if one in wrapped_by(binder, other) or other in wrapped_by(binder, one):
        return None  # whether its step is one of the optimizer in it, its class alone knows
    if one.home is not other.home:
        elements = one.last == other.last and all(is_some_element(binder, path) for path in (one, other))
        return None if elements else False
    shorter, longer = sorted((one.parts, other.parts), key=len)
    if longer[: len(shorter)] == shorter:
        rest = longer[len(shorter) :]
        return None if rest[0][0] in "[*" else True  # a wrapper and the optimizer in it are one
    if one.parts[:-1] == other.parts[:-1]:
        ends = (one.parts[-1], other.parts[-1])
        if len(one.parts) > 1 and ends[0].lstrip("_") == ends[1].lstrip("_"):
            return True  # self.optimizer is a property of self._optimizer
        if "*" in ends and all(end[0] in "[*" for end in ends):
            return True if any(end.startswith("[?") for end in ends) else None
        if any(end.startswith(("[?", "[-")) for end in ends) and all(end[0] == "[" for end in ends):
            return None
    return False


def overlap(some: Iterable[Path], others: Iterable[Path]) -> bool:
    """Whether a module of the one is, or is in, a module of the other."""
    theirs = list(others)
    for one in some:
        for other in theirs:
            length = min(len(one.parts), len(other.parts))
            if one.home is other.home and one.parts[:length] == other.parts[:length]:
                return True
    return False
