"""Section 9 of the specification: the Task API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from conformance.evidence import Exchange
from conformance.probe import Probe
from conformance.recorder import parsed
from conformance.scenarios import scenario

SPLITS = 3
"""Splits that are looked at."""
TASKS = 8
"""Tasks of a split that are fetched one by one, beside the last."""
WHOLE = 1000
"""Tasks of a split that are still asked for as an open range."""
EDGE = 2
"""How far ranges lead into a split."""
BODIES: dict[str, dict[str, Any]] = {"tasks": {}, "num_tasks": {}, "task": {"index": 0}, "task_range": {}}
"""What each route takes beside `split`."""


@scenario("tasks", "tasks")
def tasks(probe: Probe) -> None:
    """All routes of the first environment, and those of one that does not exist."""
    _routes(probe, "tasks.unknown", "no-such-environment")
    name = _first_name(probe)
    if name is None:
        return
    probe.http("tasks.case", "GET", _path(name.swapcase(), "splits"))
    splits = _split_names(_routes(probe, "tasks.any", name)) or ["train"]
    for number, split in enumerate(splits[:SPLITS]):
        _split(probe, f"tasks.{number}", name, split)
    _misfits(probe, name, splits[0])
    _episode(probe)


def _first_name(probe: Probe) -> str | None:
    """The first environment that the server lists."""
    names = parsed(probe.recorder.evidence.conversations["http.list_environments"].body)
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def _routes(probe: Probe, prefix: str, name: str) -> Exchange:
    """One request to each route, of a split that need not exist; that to `splits` is returned."""
    splits = probe.http(f"{prefix}.splits", "GET", _path(name, "splits"))
    for route, more in BODIES.items():
        probe.http(f"{prefix}.{route}", "POST", _path(name, route), {"split": "train", **more})
    return splits


def _path(name: str, route: str) -> str:
    return f"/{quote(name, safe='')}/{route}"


def _split_names(splits: Exchange) -> list[str]:
    body = parsed(splits.body)
    found = [it.get("name") for it in body if isinstance(it, dict)] if isinstance(body, list) else []
    return [name for name in found if isinstance(name, str)]


def _split(probe: Probe, prefix: str, name: str, split: str) -> None:
    """The tasks of a split: all, one by one, at and beyond the ends, and in ranges."""

    def ask(what: str, route: str, **more: Any) -> Any:
        body = parsed(probe.http(f"{prefix}.{what}", "POST", _path(name, route), {"split": split, **more}).body)
        return body if isinstance(body, dict) else {}

    entries, count = ask("tasks", "tasks").get("tasks"), ask("num_tasks", "num_tasks").get("num_tasks")
    if type(count) is not int or count < 0:
        if not isinstance(entries, list):
            return
        count = len(entries)
    for index in sorted({*range(min(count, TASKS)), max(count - 1, 0)}) if count else []:
        ask(f"task.{index}", "task", index=index)
    ask("beyond.0", "task", index=count)
    ask("beyond.1", "task", index=count + 1000)
    ask("negative", "task", index=-1)
    ask("range.tail", "task_range", start=max(count - EDGE, 0))
    ask("range.head", "task_range", stop=min(EDGE, count))
    ask("range.one", "task_range", start=0, stop=min(1, count))
    ask("range.none", "task_range", start=0, stop=0)
    if count <= WHOLE:
        ask("range.whole", "task_range")


def _misfits(probe: Probe, name: str, split: str) -> None:
    """Bodies with a missing and with an additional key."""
    for route, more in BODIES.items():
        probe.http(f"tasks.missing.{route}", "POST", _path(name, route), more)
        probe.http(f"tasks.extra.{route}", "POST", _path(name, route), {"split": split, **more, "no_such_key": 1})
    probe.http("tasks.missing.index", "POST", _path(name, "task"), {"split": split})


def _episode(probe: Probe) -> None:
    """A step, states and an error, which may tell more than the Task API does."""
    with probe.session("tasks.session") as session:
        session.ask(probe.reset(), "reset")
        session.ask(probe.step(), "step")
        session.ask({"type": "state"}, "state")
        session.ask({"type": "step", "data": {"no_such_field": 1}}, "invalid step")
