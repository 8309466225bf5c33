"""Section 8 of the specification: the HTTP routes. The descriptions are asked for before all scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.actions import invalid, valid
from conformance.probe import Probe
from conformance.scenarios import scenario

EPISODE = "conformance-stateless"
INVALID = 4
"""Actions sent that do not fit the schema."""
MISFITS: tuple[tuple[str, str, Any], ...] = (
    ("array", "/reset", []),
    ("no_json", "/reset", b"{bad"),
    ("seed", "/reset", {"seed": "no number"}),
    ("negative_seed", "/reset", {"seed": -1}),
    ("episode_id", "/reset", {"episode_id": "x" * 256}),
    ("no_body", "/step", None),
    ("no_action", "/step", {}),
    ("action", "/step", {"action": "no object"}),
)
"""Bodies of the wrong form."""
ARGUMENTS = ("no_such_argument", "self", "func", "session_id")
"""Names of reset arguments, the first of no meaning to anybody."""


@scenario("http.routes")
def routes(probe: Probe) -> None:
    """Paths and methods that do not exist."""
    probe.http("http.unknown", "GET", "/no-such-path")
    probe.http("http.unknown.post", "POST", "/no-such-path", {})
    probe.http("http.unknown.deep", "GET", "/no/such/path")
    probe.http("http.method.health", "DELETE", "/health")
    probe.http("http.method.schema", "POST", "/schema", {})
    probe.http("http.method.reset", "GET", "/reset")
    probe.http("http.health.later", "GET", "/health")


@scenario("http.stateless")
def stateless(probe: Probe) -> None:
    """Resets, steps and states without a session, and the same in fresh sessions."""
    action = _action(probe)
    probe.http("http.state", "GET", "/state")
    probe.http("http.step", "POST", "/step", {"action": action})
    probe.http("http.step.again", "POST", "/step", {"action": action})
    probe.http("http.reset", "POST", "/reset")
    probe.http("http.reset.seed", "POST", "/reset", {**probe.inputs.reset, "seed": 7, "episode_id": EPISODE})
    probe.http("http.step.later", "POST", "/step", {"action": action})
    probe.http("http.state.later", "GET", "/state")
    for name in ("http.fresh", "http.fresh.again"):
        with probe.session(name) as session:
            session.ask({"type": "state"}, "state")
            session.ask({"type": "step", "data": action}, "step")


@scenario("http.errors")
def errors(probe: Probe) -> None:
    """Bodies of the wrong form, actions that do not fit, and environments that raise."""
    for name, path, body in MISFITS:
        probe.http(f"http.misfit.{name}", "POST", path, body)
    schema = probe.schema.get("action")
    derived = invalid(schema, _action(probe), INVALID) if isinstance(schema, Mapping) else []
    for it in derived:
        probe.http(f"http.invalid.{it.wrong}.{it.key}", "POST", "/step", {"action": it.action})
    for number, action in enumerate(probe.inputs.invalid[:INVALID]):
        probe.http(f"http.invalid.given.{number}", "POST", "/step", {"action": action})
    for role, given in (("rejected", probe.inputs.rejected), ("raises", probe.inputs.raises)):
        if given is not None:
            probe.http(f"http.{role}", "POST", "/step", {"action": given})
    for name in ARGUMENTS:
        probe.http(f"http.argument.{name}", "POST", "/reset", {**probe.inputs.reset, name: "conformance"})


@scenario("http.slow", alone=True)
def slow(probe: Probe) -> None:
    """The descriptions while a step runs."""
    if probe.inputs.slow is None:
        return
    with probe.session("http.slow") as session:
        session.ask(probe.reset(), "reset")
        session.send({"type": "step", "data": probe.inputs.slow}, "slow step")
        session.quiet()  # so that the step runs when the first of them is asked for
        for path in ("health", "metadata", "schema"):
            probe.http(f"http.slow.{path}", "GET", f"/{path}")
        session.receive()


def _action(probe: Probe) -> Mapping[str, Any]:
    """An action that ought to be valid, also where no session could be opened to try it; `{}` where none is known."""
    schema = probe.schema.get("action")
    derived = valid(schema, 1) if isinstance(schema, Mapping) else []
    return next(iter([*probe.actions, *probe.inputs.actions, *derived]), {})
