"""Servers that are broken on purpose: they prove that each check can fail.

A defect is a copy of a tiny healthy server in which some methods are replaced. `python -m conformance.broken` certifies
the healthy servers and all broken ones and prints the kill table; `... serve NAME` serves one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from conformance.broken.healthy import Healthy
from conformance.broken.wire import serving
from conformance.evidence import Evidence, Exchange, Socket
from conformance.probe import Inputs
from conformance.recorder import Timing
from conformance.runner import Result, collect, judge

COUNTER = Inputs(
    actions=({"by": 1}, {"by": 2}, {"by": 0}),
    rejected={"by": 1, "op": "reject"},
    raises={"by": 1, "op": "raise"},
    uncarryable={"by": 1, "op": "uncarryable"},
    exits={"by": 1, "op": "exit"},
    ends=({"by": 1, "op": "end"},),
    echo={"by": 1, "payload": [9007199254740993, -1.5, "\u00e9\u2028", {"deep": [None, True, {}]}]},
)
"""What a run is given about the counter."""
SLOW = replace(COUNTER, slow={"by": 1, "op": "slow"})
"""The same with the action that takes time, for those requirements that need it."""
QUICK = Timing(connect=3.0, reply=4.0, quiet=0.05, settle=1.5)
"""Waits that are long enough for a server in the same process."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A healthy server with one defect.

    Attributes:
        name: What is wrong, in a few words; unique.
        ids: Exactly the requirements that it breaks.
        without: For a defect that takes the ground away: what needs this may fail too, `ws` (sessions) or `http`.
        base: The healthy server.
        methods: What replaces the server's methods and attributes.
        inputs: What a run is given about its environment.
    """

    name: str
    ids: tuple[str, ...]
    without: str = ""
    base: type[Healthy] = Healthy
    methods: dict[str, Any] = field(default_factory=dict)
    inputs: Inputs = COUNTER

    def build(self) -> Healthy:
        """The broken server."""
        server: Healthy = type("Broken", (self.base,), self.methods)()
        return server


DEFECTS: dict[str, Defect] = {}


def defect(
    name: str,
    *ids: str,
    without: str = "",
    base: type[Healthy] = Healthy,
    inputs: Inputs = COUNTER,
    **methods: Any,
) -> None:
    """Add a defect to the table."""
    assert name not in DEFECTS, f"there are two defects {name}"
    DEFECTS[name] = Defect(name, ids, without, base, methods, inputs)


def examine(server: Healthy, inputs: Inputs) -> tuple[Evidence, list[Result]]:
    """Serve a server in this process and judge it by everything."""
    with serving(server) as running:
        evidence = collect(
            running.url, inputs=inputs, token=server.token, timing=QUICK, package=server.package, stop=running.end
        )
    return evidence, judge(evidence)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the suite says of a broken server.

    Attributes:
        name: The defect's.
        killed: Requirements that were found broken and are.
        missed: Requirements that are broken and were not found so.
        extra: Requirements that were found broken beyond those, with what was seen.
    """

    name: str
    killed: frozenset[str]
    missed: frozenset[str]
    extra: dict[str, str]

    @property
    def caught(self) -> bool:
        """Whether exactly what is broken was found broken."""
        return not self.missed and not self.extra


def healthy() -> dict[str, tuple[type[Healthy], Inputs]]:
    """The healthy servers by name, each with the most that a run is given about it."""
    found: dict[str, tuple[type[Healthy], Inputs]] = {}
    for it in load().values():
        name = it.base.__name__.lower()
        if name not in found or len(it.inputs.document()) > len(found[name][1].document()):
            found[name] = (it.base, it.inputs)
    return found


@cache
def healthy_evidence(name: str) -> Evidence:
    """Evidence of a healthy server, collected once."""
    base, inputs = healthy()[name]
    return examine(base(), inputs)[0]


def judged(name: str) -> Verdict:
    """The verdict on the broken server of a name."""
    it = load()[name]
    good = healthy_evidence(it.base.__name__.lower())
    if it.methods.keys() == {"package"}:  # nothing on the wire differs
        results = judge(Evidence(good.url, {**good.facts, "package": it.methods["package"]}, good.conversations))
    else:
        results = examine(it.build(), it.inputs)[1]
    found, allowed = broken_ids(results), allowed_ids(it, good)
    extra = {r.requirement.id: r.message for r in results if r.requirement.id in found - allowed}
    return Verdict(name, found & set(it.ids), frozenset(set(it.ids) - found), extra)


def broken_ids(results: Iterable[Result]) -> frozenset[str]:
    """The requirements that are not met."""
    return frozenset(it.requirement.id for it in results if it.is_finding)


def allowed_ids(defect: Defect, healthy: Evidence) -> set[str]:
    """The requirements that a defect may break: its own, and those that need what it takes away.

    Args:
        healthy: Evidence of the healthy server, from which the conversations that are lost are taken away.
    """
    if not defect.without:
        return set(defect.ids)
    lost = Socket if defect.without == "ws" else Exchange
    kept = {name: it for name, it in healthy.conversations.items() if not isinstance(it, lost)}
    return set(defect.ids) | broken_ids(judge(Evidence(healthy.url, healthy.facts, kept)))


def reply(change: Callable[[Any, dict[str, Any]], Any]) -> Callable[..., Any]:
    """A method `alter_reply` that changes replies: `change(request, reply)` returns the new one, or None for as is."""

    def alter_reply(self: Healthy, session: Any, request: Any, frame: dict[str, Any]) -> Any:
        changed = change(request, frame)
        return frame if changed is None else changed

    return alter_reply


def reads(change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Callable[..., Any]:
    """A method `dispatch` that reads frames as others: `change(frame)` returns the other one, or None for as is."""

    def dispatch(self: Healthy, session: Any, frame: dict[str, Any]) -> Any:
        return Healthy.dispatch(self, session, change(frame) or frame)

    return dispatch


def answers(answer: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Callable[..., Any]:
    """A method `dispatch` that answers frames without running them: `answer(frame)` is the reply, or None for as is."""

    def dispatch(self: Healthy, session: Any, frame: dict[str, Any]) -> Any:
        return answer(frame) or Healthy.dispatch(self, session, frame)

    return dispatch


def load() -> dict[str, Defect]:
    """All defects, by name."""
    for module in iter_modules(__path__):
        if module.name.startswith("defects_"):
            import_module(f"{__name__}.{module.name}")
    return DEFECTS
