"""Section 11 of the specification: episodes, seeds and states. Rewards and values are in a module of their own."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import check
from conformance.episodes import Call, Episode, all_calls, episodes
from conformance.scenarios.semantics import IDS, SEED, SEEDS, SHORT
from conformance.view import Broken, Missing, NotApplicable, Reply, Untested, View, expect, short

COUNTED = ("semantics.ids", "semantics.episode", "semantics.watched", "semantics.end")
"""Conversations in which all that is played is valid."""


# States


@check("SEM-1")
def states_have_an_id(view: View) -> None:
    for state in _states(view):
        good = "episode_id" in state.data and isinstance(state.data["episode_id"], str | None)
        _expect(view, state, good, "`episode_id` of a state is a string or null")


@check("SEM-2")
def states_have_a_count(view: View) -> None:
    for state in _states(view):
        count = state.data.get("step_count")
        good = isinstance(count, int) and not isinstance(count, bool) and count >= 0
        _expect(view, state, good, "`step_count` of a state is a non-negative integer")


@check("SEM-3")
def asked_ids(view: View) -> None:
    for number, id in enumerate(IDS):
        view.ask("semantics.ids", f"asked.{number}").expect_type("observation")
        state = _state(view, "semantics.ids", f"asked.state.{number}")
        got = state.data.get("episode_id")
        expect(got == id, f"a reset asked for the episode id {short(id)}, and the state says {short(got)}")


@check("SEM-4")
def zero_after_reset(view: View) -> None:
    for name in COUNTED:
        for episode in episodes(view, name):
            state = next((it for it in episode.states if not _before(episode, it)), None)
            if state is not None:
                _expect(view, state.reply, state.reply.data.get("step_count") == 0, "after a reset `step_count` is 0")
    _state(view, "semantics.ids", "asked.state.0")


@check("SEM-5")
def steps_are_counted(view: View) -> None:
    view.ask("semantics.episode", "step.0")
    for name in COUNTED:
        for episode in episodes(view, name):
            for state in episode.states:
                steps = _before(episode, state)
                good = not steps or state.reply.data.get("step_count") == steps
                _expect(view, state.reply, good, f"after {steps} steps `step_count` is {steps}")


@check("SEM-6")
def ids_of_their_own(view: View) -> None:
    first, second = (_state(view, "semantics.ids", f"own.state.{number}").data.get("episode_id") for number in range(2))
    for id in (first, second):
        expect(isinstance(id, str) and id, f"an episode that was reset without an id has the id {short(id)}")
        expect(id not in IDS, f"an episode that was reset without an id has that of the one before, {short(id)}")
    expect(first != second, f"two episodes that were reset without an id have the same, {short(first)}")


@check("SEM-20")
def state_before_reset(view: View) -> None:
    state = _state(view, "semantics.early", "fresh")
    good = state.data.get("episode_id") is None and state.data.get("step_count") == 0
    expect(good, f"before the first reset `episode_id` is null and `step_count` 0; got {short(state.raw)}")


# Seeds


@check("SEM-7")
def null_seed(view: View) -> None:
    view.ask("semantics.seeds", "null").expect_type("observation")


@check("SEM-8")
def all_seeds(view: View) -> None:
    for seed in SEEDS:
        reply = view.ask("semantics.seeds", f"seed.{seed}")
        expect(reply.type == "observation", f"the seed {seed} was answered with {short(reply.raw)}")


@check("SEM-9")
def same_seed_same_episode(view: View) -> None:
    _unless_declared_random(view)
    one, two = _same(view)
    first, again, other = one[0], one[3], two[0]
    for episode, where in ((again, "in the same session"), (other, "in another session")):
        view.look(episode.reset.reply.socket.name, episode.reset.reply.index)
        _expect_same(episode, first, f"{where} with the same seed and actions")


@check("SEM-10")
def no_reseeding(view: View) -> str | None:
    _unless_declared_random(view)
    one, two = _same(view)
    if one[0].shown != two[0].shown:
        return "the same seed gave different episodes, so that it does not show"
    for number in (1, 2):
        where = f"after the same seed and actions, then {number} resets without a seed"
        _expect_same(two[number], one[number], where)
    seeded = one[0].shown[: SHORT + 1]
    repeated = all(episode.shown == seeded[: len(episode.shown)] for episode in one[1:3])
    matters = one[4].shown != seeded[: len(one[4].shown)]
    expect(not (repeated and matters), f"resets without a seed repeat the episode of the seed before, {SEED}")
    return None


# Episodes


@check("SEM-11")
def reset_in_the_middle(view: View) -> None:
    reply = view.ask("semantics.episode", "middle")
    reply.expect_type("observation")
    expect(reply.data.get("done") is False, f"a reset in the middle of an episode gave {short(reply.raw)}")
    count = _state(view, "semantics.episode", "middle.state").data.get("step_count")
    steps = len(episodes(view, "semantics.episode")[0].steps)
    started = not isinstance(count, int) or count < max(steps, 1)
    expect(started, f"{steps} steps were done, then a reset, and the state says that {count} were done")


@check("SEM-12")
def steps_start_nothing(view: View) -> None:
    _expect_same_episode(view, "semantics.episode", "state.0", "state.1", "a step")
    _expect_same_episode(view, "semantics.early", "fresh", "state", "a step before the first reset")
    _expect_end(view)
    _expect_same_episode(view, "semantics.end", "end.state", "after.state", "a step after the end of an episode")


@check("SEM-13")
def steps_out_of_place(view: View) -> None:
    _expect_alive(view, "semantics.early", "step", "state")
    _expect_end(view)
    _expect_alive(view, "semantics.end", "after.step", "after.state")


@check("SEM-19")
def states_change_nothing(view: View) -> None:
    watched = next(iter(episodes(view, "semantics.watched")), None)
    if watched is None or not watched.states:
        raise Missing("no reset and state were answered in `semantics.watched`")
    for one, two in zip(watched.states[::2], watched.states[1::2], strict=False):
        same = all(one.reply.data.get(key) == two.reply.data.get(key) for key in ("episode_id", "step_count"))
        _expect(view, two.reply, same, f"two states in a row agree, the first being {short(one.reply.raw)}")
    first, second = (it[0] for it in _same(view))
    if first.shown == second.shown:  # else the environment is random, and it does not show
        _expect_same(watched, first, "with states asked for in between")


def _states(view: View) -> Iterator[Reply]:
    """All states. Raises `Missing` where there is none."""
    found = [call.reply for call in all_calls(view, "state") if call.answered == "state"]
    if not found:
        raise Missing(f"no state was received: {view.fact('stopped') or 'see the rest'}")
    view.look(found[0].socket.name, found[0].index)
    yield from found


def _state(view: View, name: str, label: str) -> Reply:
    reply = view.ask(name, label)
    reply.expect_type("state")
    return reply


def _expect(view: View, reply: Reply, good: bool, rule: str) -> None:
    if not good:
        view.look(reply.socket.name, reply.index)
        raise Broken(f"{rule}; got {short(reply.raw)}")


def _before(episode: Episode, state: Call) -> int:
    """Steps of an episode before a state."""
    return sum(step.sent < state.sent for step in episode.steps)


def _same(view: View) -> tuple[list[Episode], list[Episode]]:
    """The five episodes of each of the two sessions that were played alike. Raises `Missing`."""
    one, two = (episodes(view, f"semantics.same.{number}") for number in range(2))
    if len(one) < 5 or len(two) < 5:
        raise Missing("two sessions were to be played alike, and not all of their resets gave an observation")
    return one, two


def _expect_same(got: Episode, due: Episode, where: str) -> None:
    for number, (seen, wanted) in enumerate(zip(got.shown, due.shown, strict=False)):
        expect(seen == wanted, f"{where}, reply {number} is {short(seen)}, and was {short(wanted)}")
    expect(len(got.shown) == len(due.shown), f"{where}, {len(got.steps)} steps were done, and {len(due.steps)} before")


def _unless_declared_random(view: View) -> None:
    exchange = view.exchange("http.gymnasium")
    spec = view.body("http.gymnasium").get("spec") if exchange.status == 200 else None
    if isinstance(spec, dict) and spec.get("nondeterministic"):
        raise NotApplicable("the environment is declared nondeterministic")


def _expect_end(view: View) -> None:
    """Raise `Untested` where no episode was played to its end."""
    socket = view.socket("semantics.end")
    if socket.find("end.state") is None:
        if not view.fact("actions"):
            raise Missing(f"no step could be sent: {view.fact('no_action')}")
        steps = sum(event.label.startswith("step.") for event in socket.events)
        raise Untested(f'no episode ended in {steps} steps; give actions that end one as "ends" in --actions FILE')


def _expect_same_episode(view: View, name: str, before: str, after: str, what: str) -> None:
    one, two = (_state(view, name, label).data for label in (before, after))
    expect(
        one.get("episode_id") == two.get("episode_id"),
        f"{what} began a new episode: its id was {short(one.get('episode_id'))}, now {short(two.get('episode_id'))}",
    )


def _expect_alive(view: View, name: str, step: str, state: str) -> None:
    reply = view.ask(name, step)
    expect(reply.type in ("observation", "error"), f"expected an observation or an error, got {short(reply.raw)}")
    _state(view, name, state)
