"""Sums over steps are told from rewards of steps, and values that came back from values that did not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conformance.checks import load
from conformance.evidence import Event, Evidence, Socket
from conformance.view import Broken, View


def _played(observations: list[Any], actions: list[Any], rewards: list[float]) -> View:
    """A view of an episode: a reset that shows the first observation, then a step for each action."""
    requests: list[Any] = [{"type": "reset"}, *({"type": "step", "data": {"do": action}} for action in actions)]
    events = []
    for number, request in enumerate(requests):
        data = {"observation": {"at": observations[number]}, "reward": ([None, *rewards])[number], "done": False}
        reply = {"type": "observation", "data": data}
        events.append(Event(number, "send", "text", json.dumps(request).encode(), f"step.{number - 1}"))
        events.append(Event(number, "receive", "text", json.dumps(reply).encode()))
    sockets = {name: Socket(name, "/ws", status=101) for name in ("same.0", "watched", "end")}
    sockets["episode"] = Socket("episode", "/ws", status=101, events=events)
    for event in events:
        event.size = len(event.payload)
    return View(Evidence("http://server", {}, {f"semantics.{name}": it for name, it in sockets.items()}))


@pytest.mark.parametrize(
    ("observations", "actions", "rewards", "summed"),
    [
        pytest.param([0, 1, 2, 3, 4], "aaaa", [1, 1, 1, 1], False, id="a constant reward"),
        pytest.param([0, 1, 2, 3, 4], "aaaa", [1, 2, 3, 4], True, id="the sum of a constant reward"),
        pytest.param([0, 0, 0, 0, 0], "abab", [-1, -10, -1, -10], False, id="a reward of the action"),
        pytest.param([0, 0, 0, 0, 0], "abab", [-1, -11, -12, -22], True, id="the sum of a reward of the action"),
        pytest.param([0, 1, 0, 1, 0], "abab", [0, 1, 0, 1], False, id="a reward of the transition"),
        pytest.param([0, 1, 0, 1, 0], "abab", [0, 1, 1, 2], True, id="the sum of a reward of the transition"),
        pytest.param([0, 1, 2, 3, 4], "aaaa", [0.5, 0.1, 0.7, 0.2], False, id="rewards of any size"),
        pytest.param([0, 0, 0, 0, 0], "aaaa", [0, 0, 1, 1], False, id="rewards of something hidden"),
        pytest.param([0, 0, 0, 0, 0], "aaaa", [0, 0, 0, 0], False, id="no rewards"),
    ],
)
def test_sums_are_told_from_rewards(observations: list[int], actions: str, rewards: list[float], summed: bool) -> None:
    """Where a step that is repeated adds the same to what is sent, sums are sent."""
    view = _played(observations, list(actions), rewards)
    if summed:
        with pytest.raises(Broken, match="sums over its steps"):
            load()["SEM-14"](view)
    else:
        load()["SEM-14"](view)
