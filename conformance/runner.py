"""Runs scenarios against a server, which gives evidence, and judges evidence, which gives results."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from conformance import checks, scenarios
from conformance.actions import valid
from conformance.catalogue import NEWEST, Requirement, select
from conformance.evidence import Evidence
from conformance.probe import MOST_SESSIONS, Inputs, Probe
from conformance.recorder import Ended, Recorder, Timing, Unreachable, parsed
from conformance.scenarios import Scenario
from conformance.view import Broken, NotApplicable, Place, Untested, View

Outcome = Literal["pass", "fail", "warn", "not_applicable", "untested"]
Progress = Callable[[str, int, int], None]
"""Told the name of what was done, how much is done and how much there is."""
SHOWN = 6
"""Places that a result without a finding leads to."""
ACTIONS = 3
"""Valid actions looked for."""
DESCRIPTIONS = ("health", "metadata", "schema", "openapi.json", "list_environments", "gymnasium")


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict on one requirement.

    Attributes:
        requirement: What was judged.
        outcome: `fail` of a MUST and `warn` of a SHOULD are findings; `untested` says what the run was not given.
        message: What was seen; empty where there is nothing to say.
        trail: The evidence that the check looked at.
    """

    requirement: Requirement
    outcome: Outcome
    message: str
    trail: tuple[Place, ...]

    @property
    def is_finding(self) -> bool:
        """Whether the requirement is not met."""
        return self.outcome in ("fail", "warn")


def collect(
    url: str,
    *,
    profile: str = "all",
    inputs: Inputs | None = None,
    token: str | None = None,
    timing: Timing | None = None,
    jobs: int = 4,
    only: Iterable[str] | None = None,
    package: Mapping[str, Any] | None = None,
    stop: Callable[[], None] | None = None,
    progress: Progress | None = None,
) -> Evidence:
    """Talk to a server and return the evidence. Sessions that were opened are closed.

    Args:
        url: The server.
        profile: Whose requirements the evidence must allow to judge.
        inputs: What is known of its environment.
        token: The bearer token that it wants.
        timing: How long to wait.
        jobs: Sessions used at a time, where the server allows as many.
        only: Names of scenarios; all of the profile if None.
        package: What the server was shipped as, by `conformance.package`; None for a running one.
        stop: Tells the server to stop, where this run may do that; it is called last.
        progress: Told of each scenario that is done.

    Raises:
        Unreachable: Nothing listens there.
    """
    recorder = Recorder(url, token=token, timing=timing)
    probe = Probe(recorder, inputs)
    probe.facts.update(
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        python=platform.python_version(),
        inputs=probe.inputs.document(),
        package=dict(package) if package else None,
    )
    _reach(recorder)
    chosen = [it for it in scenarios.load().values() if _wanted(it, profile) and (only is None or it.name in only)]
    total = len(chosen) + 1
    tell = progress or (lambda name, done, of: None)
    _explore(probe)
    tell("explore", 1, total)
    for done, name in enumerate(_run(probe, chosen, jobs), 2):
        tell(name, done, total)
    if stop is not None:
        _shut_down(probe, stop)
    probe.facts["seconds"] = recorder.now()
    return recorder.evidence


def judge(evidence: Evidence, *, profile: str = "all", version: str = NEWEST) -> list[Result]:
    """Judge evidence by all testable requirements of a profile, in the order of the specification."""
    known = checks.load()
    strict = profile == "strict"
    return [_judge(evidence, it, known[it.id], strict) for it in select(profile, version) if it.id in known]


def _judge(evidence: Evidence, requirement: Requirement, check: checks.Check, strict: bool) -> Result:
    view = View(evidence)
    outcome: Outcome
    try:
        outcome, message = "pass", check(view) or ""
    except Broken as exc:
        outcome, message = "fail" if strict or requirement.level == "MUST" else "warn", str(exc)
    except NotApplicable as exc:
        outcome, message = "not_applicable", str(exc)
    except Untested as exc:
        outcome, message = "untested", str(exc)
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as exc:
        # What a server sends can have any shape; a check that trips over one has found something.
        outcome = "fail" if strict or requirement.level == "MUST" else "warn"
        message = f"what the server sent has a shape that makes no sense here ({type(exc).__name__}: {exc})"
    places = tuple(dict.fromkeys(view.trail))
    return Result(requirement, outcome, message, places if outcome in ("fail", "warn") else places[:SHOWN])


def _wanted(scenario: Scenario, profile: str) -> bool:
    return profile == "all" or profile in scenario.profiles


def _reach(recorder: Recorder) -> None:
    try:
        recorder.dial().close()
    except OSError as exc:
        raise Unreachable(f"nothing answers at {recorder.evidence.url}: {exc}") from exc


def _run(probe: Probe, chosen: list[Scenario], jobs: int) -> Iterable[str]:
    """Run scenarios, several at a time as far as the server has room, and yield the names of those done."""
    together = [it for it in chosen if not it.alone]
    width = max(1, min(jobs, probe.capacity or MOST_SESSIONS))
    with ThreadPoolExecutor(width) as pool:
        yield from pool.map(lambda it: _play(probe, it), together)
    for it in chosen:
        if it.alone:
            yield _play(probe, it)


def _play(probe: Probe, scenario: Scenario) -> str:
    with contextlib.suppress(Ended):
        scenario.run(probe)
    return scenario.name


def _shut_down(probe: Probe, stop: Callable[[], None]) -> None:
    probe.facts["stop"] = True
    with probe.session("shutdown") as session:
        session.ask(probe.reset(), "reset")
        stop()
        session.until_end()


# What every run needs to know first


def _explore(probe: Probe) -> None:
    for path in DESCRIPTIONS:
        probe.http(f"http.{path.removesuffix('.json')}", "GET", f"/{path}")
    schema = parsed(probe.recorder.evidence.conversations["http.schema"].body)
    probe.schema = schema if isinstance(schema, dict) else {}
    with contextlib.suppress(Ended):
        _fill(probe)
    _find_actions(probe)
    probe.facts["actions"] = [dict(it) for it in probe.actions]


def _fill(probe: Probe) -> None:
    """Open sessions until one is refused, or there are enough of them."""
    opened = []
    try:
        for number in range(MOST_SESSIONS + 1):
            session = probe.connect(f"capacity.{number}")
            opened.append(session)
            if not session.is_open and number:
                probe.facts["capacity"] = number
                break
            reply = session.ask({"type": "state"}, "state")
            if isinstance(reply, dict) and reply.get("type") == "error":
                session.until_end()
                code = (reply.get("data") or {}).get("code")
                if code == "CAPACITY_REACHED":
                    probe.facts["capacity"] = number
                else:
                    probe.facts["stopped"] = f"a session was refused with {code}: {(reply['data']).get('message')}"
                break
    finally:
        for session in opened:
            session.close()


def _find_actions(probe: Probe) -> None:
    schema = probe.schema.get("action")
    given = [dict(action) for action in probe.inputs.actions]
    candidates = given or (valid(schema) if isinstance(schema, dict) else [])
    session = probe.session("actions")
    with session:
        session.ask(probe.reset(), "reset")
        for number, action in enumerate(candidates):
            reply = session.ask({"type": "step", "data": action}, f"action.{number}")
            if _accepted(reply):
                probe.actions.append(action)
                if _done(reply):
                    session.ask(probe.reset(), f"reset.{number}")
            if len(probe.actions) == max(ACTIONS, len(given)):
                break
    if not probe.actions:
        probe.facts["no_action"] = (
            f"none of {len(candidates)} actions that were {'given' if given else 'derived from the action schema'} was "
            "answered with an observation; pass one that is valid after a reset: --action '{...}'"
        )


def _accepted(reply: Any) -> bool:
    return isinstance(reply, dict) and reply.get("type") == "observation"


def _done(reply: Any) -> bool:
    data = reply.get("data")
    return isinstance(data, dict) and data.get("done") is True
