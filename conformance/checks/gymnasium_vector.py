"""Section 13.2 of the specification: vector messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.checks import check
from conformance.scenarios.gymnasium_vector import MODES, NUM_ENVS, TOO_MANY
from conformance.spaces import alike, element
from conformance.values import Array
from conformance.view import Broken, Missing, NotApplicable, Reply, Untested, View, expect, short
from conformance.wrapped import (
    NO_BINARY,
    NOTHING,
    WRONG,
    Shown,
    document,
    goes_on,
    is_repeatable,
    is_selected,
    is_wrapped,
    space,
    whole,
)  # fmt: skip

NO_VECTOR = "the server has no vector messages"
SPACES = ("observation_space", "action_space", "single_observation_space", "single_action_space")
FLAGS = ("terminated", "truncated")


@check("VEC-1")
def no_vector_in_json(view: View) -> None:
    view.ask("gymnasium.json_vector", "vector").expect_code("UNKNOWN_TYPE")
    view.ask("gymnasium.json_vector", "state").expect_type("state")


@check("VEC-2")
def without_vector_messages(view: View) -> None:
    if not is_selected(view):
        raise NotApplicable(NO_BINARY)
    if _has_vector(view):
        raise NotApplicable("the server has vector messages")
    view.ask("gymnasium.vector", "make").expect_code("VALIDATION_ERROR")


@check("VEC-3")
def all_by_one_step(view: View) -> None:
    made = _made(view, "gymnasium.vector")
    expect(made.get("num_envs") == NUM_ENVS, f"`num_envs` in force is {made.get('num_envs')!r}, asked for {NUM_ENVS}")
    missing = [key for key in SPACES if not isinstance(made.get(key), dict)]
    expect(not missing, f"the reply to `make` lacks {', '.join(missing)}")
    for mode in MODES:
        run = Run(view, mode)
        for label in view.one_by_one(("reset", *run.steps)):
            _of_all(run, label)
    socket = view.socket("gymnasium.vector.refused")
    view.ask("gymnasium.vector.refused", "step")
    sent = socket.find("step") or 0
    later = [event.kind for event in socket.events[sent + 1 : socket.find("close")]]
    expect(later.count("receive") == 1, f"one step was answered with {later.count('receive')} messages")


@check("VEC-4")
def dtypes(view: View) -> None:
    _made(view, "gymnasium.vector")
    for mode in MODES:
        run = Run(view, mode)
        for label in view.one_by_one((*run.steps, *(it for it in run.after if it != "masked"))):
            data = run.data(label)
            for key, dtype in (("rewards", "float64"), ("terminated", "bool"), ("truncated", "bool")):
                value = data.get(key)
                good = isinstance(value, Array) and (value.dtype, value.shape) == (dtype, (NUM_ENVS,))
                expect(good, f"`{key}` is {value!r:.90}, not {dtype} of shape ({NUM_ENVS},)")


@check("VEC-5")
def autoreset(view: View) -> str:
    _made(view, "gymnasium.vector")
    judged = [mode for mode in view.one_by_one(MODES) if _autoreset(Run(view, mode))]
    if not judged:
        view.given("ends", "no episode ended in 300 steps; actions that end one are not known")
        raise Missing("no episode ended by the actions that were given for it")
    return f"seen in {', '.join(judged)}"


@check("VEC-6")
def wrong_requests(view: View) -> None:
    name = "gymnasium.vector.refused"
    _made(view, name)
    labels = [
        event.label for event in view.socket(name).events if event.label.startswith(("early.", "wrong.", "late."))
    ]
    for label, reply in view.asked(name, *labels):
        expect(reply.code == "VALIDATION_ERROR", f"`{label}` is answered {short(reply.raw)}, not VALIDATION_ERROR")
    reply = view.ask(name, "step")
    reply.expect_type("vector")
    untouched = view.ask("gymnasium.vector.NextStep", "step.0")
    if is_repeatable(view):
        same = alike(reply.data.get("obs"), untouched.data.get("obs"))
        expect(same, f"after refused requests a step shows {short(reply.raw)}, without them {short(untouched.raw)}")
    view.ask(name, "state").expect_type("state")


@check("VEC-7")
def raises(view: View) -> str:
    made = _made(view, "gymnasium.vector.raises")
    first = view.answer("gymnasium.unstarted", "step")
    unstarted = first is not None and first.code == "EXECUTION_ERROR" and made.get("vectorization") == "sync"
    if unstarted:
        view.ask("gymnasium.vector.raises", "unstarted.step").expect_code("EXECUTION_ERROR")
        view.ask("gymnasium.vector.raises", "reset").expect_type("vector")
    if (view.fact("inputs") or {}).get("raises"):
        view.ask("gymnasium.vector.raises", "raises.step").expect_code("EXECUTION_ERROR")
        view.ask("gymnasium.vector.raises", "raises.reset").expect_type("vector")
    elif not unstarted:
        view.given("raises", "no action is known on which the environment raises")
    return "a step before the first reset" if unstarted else "the given action"


@check("VEC-8")
def one_session(view: View) -> None:
    _made(view, "gymnasium.vector")
    capacity = view.fact("capacity")
    if capacity is None:
        raise Untested("the server allows more sessions than were opened; serve it with at most 8 of them")
    made = _made(view, "gymnasium.full.1")
    for number in range(2, capacity + 1):
        reply = view.ask(f"gymnasium.full.{number}", "state")
        expect(reply.type == "state", f"with one vector session of {made.get('num_envs')} and {number - 2} others of "
               f"{capacity}, a session is answered {short(reply.raw)}")  # fmt: skip
    view.ask("gymnasium.full.1", "again").expect_type("state")


@check("VEC-9")
def too_many(view: View) -> None:
    _made(view, "gymnasium.vector")
    reply = view.answer("gymnasium.vector.many", "make")
    expect(reply is not None and reply.code == "VALIDATION_ERROR",
           f"num_envs {TOO_MANY} is answered {short(reply.raw) if reply else 'not at all'}")  # fmt: skip


class Run:
    """A vector session in one mode, and the sessions that did the same with one environment each.

    Attributes:
        steps: Labels of the steps until one sub-environment was done.
        after: Labels of the steps after that.
        ended: Which sub-environments were done; empty where none was.
        comparable: Whether the sub-environments must show what the sessions show.
    """

    def __init__(self, view: View, mode: str) -> None:
        self.view = view
        self.mode = mode
        self.name = f"gymnasium.vector.{mode}"
        self.made = _made(view, self.name)
        sent = [event.label for event in view.socket(self.name).events if event.kind == "send"]
        self.after = [label for label in sent if label in ("masked", "step.next", "step.last")]
        self.steps = [label for label in sent if label.startswith("step.") and label not in self.after]
        self.space = space(view, "observation_space")
        self.comparable = self.made.get("vectorization") == "sync" and is_repeatable(view)
        self.single = [whole(view, index) for index in range(NUM_ENVS)]
        if not goes_on(view):  # then no session can say what comes after a reset
            self.single = [(episode, []) for episode, _ in self.single]
        self.ended = [index for index in range(NUM_ENVS) if self.after and self.is_done(self.steps[-1], index)]

    def data(self, label: str) -> dict[str, Any]:
        """The `data` of a reply. Raises `Broken` where it is another frame."""
        reply = self.view.ask(self.name, label)
        reply.expect_type("vector")
        return reply.data

    def of(self, label: str, key: str, index: int) -> Any:
        """What a reply says of one sub-environment. Raises `Broken`."""
        values = self.data(label).get(key)
        try:
            return element(values, index, self.space if key == "obs" else None)
        except WRONG as exc:
            raise Broken(f"`{key}` of `{label}` is {values!r:.90}: no batch of {NUM_ENVS} ({exc})") from None

    def is_done(self, label: str, index: int) -> bool:
        """Whether a sub-environment was done in a step."""
        return any(bool(_plain(self.of(label, key, index))) for key in FLAGS)

    def shows(self, label: str, index: int, expected: list[Shown], number: int, what: str) -> None:
        """Raise `Broken` unless a sub-environment shows the observation that a session shows."""
        if self.comparable and number < len(expected):
            obs, other = self.of(label, "obs", index), expected[number]["obs"]
            expect(alike(obs, other), f"{self.mode}: `{label}` shows of sub-environment {index} {obs!r:.80}, "
                   f"not {what}, {other!r:.80}")  # fmt: skip


def _of_all(run: Run, label: str) -> None:
    """Each sub-environment did what a session with its seed and its actions did."""
    last = run.ended and label == run.steps[-1]
    for index, (single, _) in enumerate(run.single):
        number = 0 if label == "reset" else run.steps.index(label) + 1
        run.of(label, "obs", index)
        if not last:  # what is shown of one that is done, its mode says
            run.shows(label, index, single, number, "what a session of its own shows")
        if number and run.comparable and number < len(single):
            one = [_plain(run.of(label, key, index)) for key in ("rewards", *FLAGS)]
            other = [_plain(single[number][key]) for key in ("reward", *FLAGS)]
            expect(alike(one, other), f"`{label}` says of sub-environment {index} {one}, its own session {other}")


def _autoreset(run: Run) -> bool:
    """Whether a sub-environment was done. Raises `Broken` where it is treated otherwise than its mode says."""
    mode = run.made.get("autoreset_mode")
    expect(mode == run.mode, f"the mode in force is {mode!r}, asked for was {run.mode!r}")
    for index in range(NUM_ENVS) if run.ended else ():
        judge = _DONE[run.mode] if index in run.ended else _going_on
        judge(run, index)
    return bool(run.ended)


def _next_step(run: Run, index: int) -> None:
    last, (single, again) = run.steps[-1], run.single[index]
    run.shows(last, index, single, len(run.steps), "the last observation of the episode")
    values = [_plain(run.of("step.next", key, index)) for key in ("rewards", *FLAGS)]
    expect(not any(values), f"NextStep: the step after the last is a reset, and says {values}")
    run.shows("step.next", index, again, 0, "the first observation of the next episode")
    run.shows("step.last", index, again, 1, "the first step of the next episode")


def _same_step(run: Run, index: int) -> None:
    last, (single, again) = run.steps[-1], run.single[index]
    infos = run.data(last).get("infos")
    expect(isinstance(infos, dict) and "final_obs" in infos, f"SameStep: `infos` has no `final_obs`: {infos!r:.90}")
    try:
        final = element(infos["final_obs"], index) if isinstance(infos, dict) else NOTHING
    except WRONG:
        final = None
    expect(final is not None, f"SameStep: `final_obs` holds nothing for sub-environment {index}")
    if run.comparable and len(run.steps) < len(single):
        expected = single[len(run.steps)]["obs"]
        expect(alike(final, expected), f"SameStep: `final_obs` is {final!r:.80}, not {expected!r:.80}")
    run.shows(last, index, again, 0, "the first observation of the next episode")
    if not run.is_done("step.next", index):
        run.shows("step.next", index, again, 1, "the first step of the next episode")


def _disabled(run: Run, index: int) -> None:
    last, (single, again) = run.steps[-1], run.single[index]
    run.shows(last, index, single, len(run.steps), "the last observation of the episode")
    run.shows("masked", index, again, 0, "the first observation of the next episode")
    run.shows("step.next", index, again, 1, "the first step of the next episode")


def _going_on(run: Run, index: int) -> None:
    """A sub-environment that is not done goes on when another is."""
    single, number = run.single[index][0], len(run.steps)
    run.shows(run.steps[-1], index, single, number, "its next step")
    if run.mode == "Disabled":
        run.shows("masked", index, single, number, "what it was")
    if not (run.view.fact("inputs") or {}).get("ends"):
        run.shows("step.next", index, single, number + 1, "its next step")


_DONE: dict[str, Callable[[Run, int], None]] = {
    "NextStep": _next_step, "SameStep": _same_step, "Disabled": _disabled,
}  # fmt: skip


def _has_vector(view: View) -> bool:
    if is_wrapped(view) and document(view).get("vector") is True:
        return True
    reply = view.answer("gymnasium.vector", "make")
    return reply is not None and reply.type == "vector"


def _made(view: View, name: str) -> dict[str, Any]:
    """The reply to `make`. Raises `NotApplicable` without vector messages, `Broken` where it is another frame."""
    if not is_selected(view):
        raise NotApplicable(NO_BINARY)
    if not _has_vector(view):
        raise NotApplicable(NO_VECTOR)
    reply: Reply = view.ask(name, "make")
    reply.expect_type("vector")
    return reply.data


def _plain(value: Any) -> Any:
    return value.items[0] if isinstance(value, Array) and len(value.items) == 1 else value
