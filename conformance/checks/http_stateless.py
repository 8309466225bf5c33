"""Section 8.3 of the specification: reset, step and state without a session."""

from __future__ import annotations

from typing import Any

from conformance.checks import check
from conformance.checks.http import media_type, simulation
from conformance.evidence import Exchange
from conformance.recorder import parsed
from conformance.view import Broken, Missing, View, expect, short

STEPS = ("http.step", "http.step.again", "http.step.later")
OWN = ("http.misfit.no_action", "http.misfit.negative_seed")
"""Bodies of the wrong form that have requirements of their own."""


@check("HTTP-19")
def nothing_is_kept(view: View) -> str | None:
    simulation(view)
    before, after = view.body("http.state"), view.body("http.state.later")
    episode = parsed(view.exchange("http.reset.seed").sent)["episode_id"]
    expect(
        after.get("episode_id") != episode, f"GET /state shows the episode of an earlier POST /reset: {short(after)}"
    )
    counts = before.get("step_count"), after.get("step_count")
    expect(counts[0] == counts[1], f"`step_count` of GET /state was {counts[0]}, and is {counts[1]} after POST /step")
    answers = [_answer(view.exchange(name)) for name in STEPS]
    other = next((it for it in answers if it != answers[0]), None)
    if other is None:
        return None
    # Environments may be random; then equal steps of fresh sessions differ as well.
    sessions = [view.ask(name, "step").frame for name in ("http.fresh", "http.fresh.again")]
    expect(sessions[0] != sessions[1], f"equal POST /step are answered {short(answers[0])} and {short(other)}")
    return "the environment is random, so that `/state` alone was judged"


def _answer(exchange: Exchange) -> tuple[int, Any]:
    return exchange.status, parsed(exchange.body)


@check("HTTP-20")
def reset_without_body(view: View) -> None:
    simulation(view)
    exchange = view.exchange("http.reset")
    needed = (view.fact("inputs") or {}).get("reset")
    allowed = (200, 500) if needed else (200,)  # the environment may need the arguments that the run was given
    expect(exchange.status in allowed, f"POST /reset without a body is answered {_seen(exchange)}")


@check("HTTP-21")
def results(view: View) -> str | None:
    simulation(view)
    _expect_result(view.body("http.reset.seed"), "POST /reset")
    if _raises_unreset(view):
        return "the environment raises where it is stepped without a reset, so that POST /step has no result"
    _expect_result(view.body("http.step"), "POST /step")
    return None


@check("HTTP-22")
def result_metadata(view: View) -> None:
    simulation(view)
    names = ["http.reset.seed"] if _raises_unreset(view) else ["http.reset.seed", "http.step"]
    for name in names:
        body, path = view.body(name), view.exchange(name).path
        good = "metadata" in body and isinstance(body["metadata"], (dict, type(None)))
        expect(good, f"POST {path} is answered without `metadata`, an object or null: {short(body)}")


def _raises_unreset(view: View) -> bool:
    """Whether a step of a fresh environment fails on both doors."""
    return view.exchange("http.step").status == 500 and view.ask("http.fresh", "step").type == "error"


def _expect_result(body: Any, what: str) -> None:
    good = (
        isinstance(body, dict)
        and isinstance(body.get("observation"), dict)
        and isinstance(body.get("reward", ""), (int, float, type(None)))
        and isinstance(body.get("done"), bool)
    )
    expect(good, f"{what} is answered without `observation`, `reward` and `done` of the right types: {short(body)}")


@check("HTTP-23")
def misfits(view: View) -> None:
    simulation(view)
    bodies = _named(view, "http.misfit.")
    if not bodies:
        raise Missing("no body of the wrong form was sent")
    for exchange in bodies:
        view.look(exchange.name)
        if exchange.name not in OWN:
            expect(
                exchange.status == 422, f"POST {exchange.path} {_sent(exchange)} is answered {_seen(exchange)}, not 422"
            )
    for exchange in view.evidence.exchanges():
        if exchange.status == 422 and exchange.method == "POST" and exchange.path.endswith(("/reset", "/step")):
            _expect_entries(view, exchange)
    del view.trail[6:]


def _expect_entries(view: View, exchange: Exchange) -> None:
    body = parsed(exchange.body)
    entries = body.get("detail") if isinstance(body, dict) else None
    if not (isinstance(entries, list) and entries and all(_is_entry(it) for it in entries)):
        view.look(exchange.name)
        raise Broken(
            f"`detail` of a 422 is no array of entries with `type`, `loc`, `msg` and `input`: {_seen(exchange)}"
        )


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("type"), str)
        and isinstance(entry.get("msg"), str)
        and "input" in entry
        and isinstance(entry.get("loc"), list)
        and all(isinstance(part, (str, int)) for part in entry["loc"])
    )


@check("HTTP-24")
def step_without_action(view: View) -> None:
    simulation(view)
    _expect_loc(view, "http.misfit.no_action", ["body", "action"])


@check("HTTP-26")
def negative_seed(view: View) -> None:
    simulation(view)
    _expect_loc(view, "http.misfit.negative_seed", ["body", "seed"])


def _expect_loc(view: View, name: str, loc: list[str]) -> None:
    locs = _locs(view, name)
    expect(loc in locs, f"no entry of the 422 has the loc {short(loc)}; there are {short(locs)}")


def _locs(view: View, name: str) -> list[Any]:
    """The `loc` of all entries of a 422. Raises `Broken` where it is none."""
    view.body(name, 422)
    exchange = view.exchange(name)
    entries = exchange.json.get("detail")
    expect(isinstance(entries, list) and entries, f"a 422 has no entries: {_seen(exchange)}")
    locs = [entry.get("loc") for entry in entries]
    expect(all(isinstance(loc, list) for loc in locs), f"a `loc` is no array: {short(locs)}")
    return locs


@check("HTTP-25")
def unfit_actions(view: View) -> None:
    simulation(view)
    bodies = _named(view, "http.invalid.")
    if not bodies:
        view.given("invalid", "no action that does not fit could be derived from the action schema")
        raise Missing("no action that does not fit was sent")
    for exchange in bodies:
        view.look(exchange.name)
        _, _, wrong, key = exchange.name.split(".", 3)
        locs, action = _locs(view, exchange.name), parsed(exchange.sent)["action"]
        inside = [loc for loc in locs if loc[:1] != ["body"] or "body" in action]
        expect(inside == locs, f"the loc {short(locs)} is not relative to the action {short(action)}")
        named = wrong == "given" or any(key in loc or not loc for loc in locs)
        expect(named, f"the loc {short(locs)} does not lead to `{key}` of the action {short(action)}")


@check("HTTP-27")
def rejected_action(view: View) -> None:
    simulation(view)
    view.given("rejected", "no action is known that fits the schema and is rejected by a validator")
    view.body("http.rejected", 422)


@check("HTTP-28")
def raising_environment(view: View) -> None:
    simulation(view)
    view.given("raises", "no action is known on which the environment raises")
    exchange = view.exchange("http.raises")
    expect(
        exchange.status == 500, f"a step on which the environment raises is answered {_seen(exchange)}, expected 500"
    )


@check("HTTP-29")
def plain_failure(view: View) -> None:
    failed = [it for it in view.evidence.exchanges() if it.status == 500]
    if not failed:
        simulation(view)
        view.given("raises", "no action is known on which the environment raises")
        raise Missing("no request was answered 500")
    for exchange in failed:
        if media_type(exchange) != "text/plain" or exchange.body != b"Internal Server Error":
            view.look(exchange.name)
            kind = exchange.header("Content-Type")
            raise Broken(f"a failure is sent as {kind}: {_seen(exchange)}, expected text/plain: Internal Server Error")
    view.look(failed[0].name)


@check("HTTP-30")
def whole_state(view: View) -> None:
    simulation(view)
    state, reply = view.body("http.state"), view.ask("http.fresh", "state")
    reply.expect_type("state")
    missing = sorted(reply.data.keys() - state.keys())
    expect(not missing, f"GET /state lacks {', '.join(missing)}, which a `state` frame has: {short(state)}")


@check("HTTP-31")
def arguments_of_any_name(view: View) -> None:
    simulation(view)
    usual = view.exchange("http.argument.no_such_argument")
    expect(usual.status in (200, 500), f"a reset with an argument of any name is answered {_seen(usual)}")
    for name in ("func", "session_id", "self"):
        exchange = view.exchange(f"http.argument.{name}")
        # A method in Python refuses an argument `self` itself.
        allowed = (usual.status, 500) if name == "self" else (usual.status,)
        expect(
            exchange.status in allowed,
            f"a reset with the argument `{name}` is answered {_seen(exchange)}; with another name {usual.status}",
        )


def _named(view: View, prefix: str) -> list[Exchange]:
    return [it for it in view.evidence.exchanges() if it.name.startswith(prefix)]


def _seen(exchange: Exchange) -> str:
    return f"{exchange.status} {short(exchange.body.decode(errors='replace'))}"


def _sent(exchange: Exchange) -> str:
    return short(exchange.sent.decode(errors="replace"), 40) or "without a body"
