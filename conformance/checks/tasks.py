"""Section 9 of the specification: the Task API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from conformance.checks import check
from conformance.checks.http import expect_detail
from conformance.evidence import Exchange, Socket
from conformance.recorder import parsed
from conformance.view import Broken, Missing, NotApplicable, View, expect, short

ROUTES = {
    "splits": "list_splits",
    "tasks": "list_tasks",
    "num_tasks": "num_tasks",
    "task": "get_task",
    "task_range": "get_task_range",
}
"""The routes, and their names in the text of a 501."""


@check("TASK-1")
def environments(view: View) -> None:
    names = view.body("http.list_environments")
    good = isinstance(names, list) and all(isinstance(name, str) for name in names)
    expect(good, f"GET /list_environments is no array of strings: {short(names)}")


@check("TASK-2")
def unknown_environment(view: View) -> None:
    for route in ROUTES:
        expect_detail(view, f"tasks.unknown.{route}", 404, "unknown environment 'no-such-environment'")


@check("TASK-3")
def names_without_case(view: View) -> str | None:
    listed, other = view.exchange("tasks.any.splits"), view.exchange("tasks.case")
    if listed.path == other.path:
        return "the name has no letters"
    same = (listed.status, parsed(listed.body)) == (other.status, parsed(other.body))
    expect(
        same, f"GET {other.path} is answered {other.status}, GET {listed.path} {listed.status}, or with another body"
    )
    return None


@check("TASK-4")
def no_task_api(view: View) -> None:
    view.exchange("tasks.any.splits")
    has_api = _has_api(view)
    names = [it.name for it in _asked(view) if it.status == 501 or not has_api]
    if not names:
        raise NotApplicable("the server has a Task API with all routes")
    for name in names:
        route = view.exchange(name).path.rpartition("/")[2]
        expect_detail(view, name, 501, f"{ROUTES[route]} is not supported for this environment")


@check("TASK-5")
def splits(view: View) -> None:
    body = _supported(view, "tasks.any.splits")
    expect(isinstance(body, list), f"`splits` is no array: {short(body)}")
    for it in body:
        good = isinstance(it, dict) and isinstance(it.get("name"), str) and isinstance(it.get("type"), str)
        expect(good, f"a split has no strings `name` and `type`: {short(it)}")


@check("TASK-6")
def number_of_tasks(view: View) -> None:
    for split in _splits(view):
        _count(view, split)


@check("TASK-7")
def as_many_as_listed(view: View) -> None:
    for split in _splits(view):
        count, entries = _count(view, split), _entries(view, split)
        expect(count == len(entries), f"`num_tasks` is {count}, but `tasks` has {len(entries)} entries")


@check("TASK-8")
def task_by_index(view: View) -> str:
    fetched = 0
    for split in _splits(view):
        entries = _entries_if_any(view, split)
        for exchange in _named(view, f"{split}.task."):
            body, index = _supported(view, exchange.name), int(exchange.name.rpartition(".")[2])
            expect(
                isinstance(body, dict) and "task" in body, f"`task` is answered without the key `task`: {short(body)}"
            )
            same = entries is None or (index < len(entries) and body["task"] == entries[index])
            expect(same, f"task {index} is {short(body['task'])}, which is not the entry {index} of `tasks`")
            fetched += 1
    _shorten(view)
    return f"{fetched} tasks were fetched"


@check("TASK-9")
def index_beyond(view: View) -> None:
    for split in _splits(view):
        beyond = _named(view, f"{split}.beyond.")
        if not beyond:
            _count(view, split)
            raise Missing("no index beyond the last task was asked for")
        for exchange in beyond:
            _expect_support(exchange)
            expect_detail(view, exchange.name, 400, "Invalid task index")


@check("TASK-10")
def ranges(view: View) -> None:
    for split in _splits(view):
        entries = _entries(view, split)
        for exchange in _named(view, f"{split}.range."):
            body, asked = _supported(view, exchange.name), parsed(exchange.sent)
            wanted = entries[asked.get("start", 0) : asked.get("stop", len(entries))]
            found = body.get("tasks") if isinstance(body, dict) else None
            expect(found == wanted, f"{short(asked)} is answered {short(body)}, expected the tasks {short(wanted)}")
    _shorten(view)


@check("TASK-11")
def misfits(view: View) -> None:
    _splits(view)
    bodies = [*_named(view, "tasks.missing."), *_named(view, "tasks.extra.")]
    if not bodies:
        raise Missing("no body with a missing or an additional key was sent")
    for exchange in bodies:
        view.look(exchange.name)
        if exchange.status != 501:  # a route that is not there need not read its body
            sent = exchange.sent.decode()
            expect(exchange.status == 422, f"POST {exchange.path} {sent} is answered {exchange.status}, not 422")
    _shorten(view)


@check("TASK-12")
def negative_index(view: View) -> str:
    answers = {exchange.status for split in _splits(view) for exchange in _named(view, f"{split}.negative")}
    for split in _splits(view):
        view.look(f"{split}.negative")
    return f"a negative index is answered {' and '.join(map(str, sorted(answers))) or 'nowhere'}"


@check("TASK-13")
def private_fields(view: View) -> str:
    for text in view.given("private", "no text is known that must stay private"):
        needles = {form.encode() for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])}
        for conversation in view.evidence.conversations.values():
            # What the run itself sent may come back, in the `input` of an error for one.
            if any(needle in sent for needle in needles for sent in _sent(conversation)):
                continue
            for index, received in _received(conversation):
                if any(needle in received for needle in needles):
                    view.look(conversation.name, index)
                    raise Broken(f"{short(text, 40)!r} is private and was sent: {short(_around(received, needles))}")
    return f"not found in {len(view.evidence.conversations)} conversations"


def _sent(conversation: Socket | Exchange) -> Iterator[bytes]:
    if isinstance(conversation, Exchange):
        yield conversation.sent
    else:
        yield from (event.payload for event in conversation.events if event.kind == "send")


def _received(conversation: Socket | Exchange) -> Iterator[tuple[int | None, bytes]]:
    """All that came from the server, with the index of its event."""
    yield None, conversation.body
    yield None, "\n".join(value for _, value in conversation.response).encode()
    if isinstance(conversation, Socket):
        for index, event in enumerate(conversation.events):
            if event.kind != "send":
                yield index, event.payload + event.text.encode()


def _around(received: bytes, needles: set[bytes]) -> str:
    """The bytes around a find."""
    at = max(received.find(needle) for needle in needles)
    return received[max(at - 40, 0) : at + 60].decode(errors="replace")


def _asked(view: View) -> list[Exchange]:
    """The requests of the right form to routes of an environment that is listed."""
    return [it for it in view.evidence.exchanges() if re.match(r"tasks\.(any|\d+)\.", it.name)]


def _has_api(view: View) -> bool:
    return any(it.status == 200 for it in _asked(view))


def _splits(view: View) -> list[str]:
    """Names of the splits' conversations. Raises `NotApplicable` where there is no Task API."""
    view.exchange("tasks.any.splits")
    if not _has_api(view):
        raise NotApplicable("the server has no Task API")
    return [it.name.removesuffix(".tasks") for it in _asked(view) if re.fullmatch(r"tasks\.\d+\.tasks", it.name)]


def _supported(view: View, name: str) -> Any:
    """The body of a 200. Raises `NotApplicable` where the server does not have that route."""
    exchange = view.exchange(name)
    if not _has_api(view):
        raise NotApplicable("the server has no Task API")
    _expect_support(exchange)
    return view.body(name)


def _expect_support(exchange: Exchange) -> None:
    if exchange.status == 501:
        raise NotApplicable(f"the server says that it does not support {exchange.path}")


def _count(view: View, split: str) -> int:
    body = _supported(view, f"{split}.num_tasks")
    count = body.get("num_tasks") if isinstance(body, dict) else None
    if type(count) is not int or count < 0:  # a boolean is no integer here
        raise Broken(f"`num_tasks` is answered {short(body)}, expected a non-negative integer")
    return count


def _entries(view: View, split: str) -> list[Any]:
    body = _supported(view, f"{split}.tasks")
    entries = body.get("tasks") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        raise Broken(f"`tasks` is answered {short(body)}, expected an array `tasks`")
    return entries


def _entries_if_any(view: View, split: str) -> list[Any] | None:
    try:
        return _entries(view, split)
    except NotApplicable:
        return None


def _named(view: View, prefix: str) -> list[Exchange]:
    return [it for it in view.evidence.exchanges() if it.name.startswith(prefix)]


def _shorten(view: View) -> None:
    """Keep some of the places where all was well."""
    del view.trail[6:]
