"""A provider is one class: what it runs is taken wherever a server or a source is."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

import interop
from interop import providers, sources
from interop.cli import main
from interop.errors import InteropError, SessionLost, SourceError
from interop.server import Server


class Cloud:
    """Runs `cloud:ID` as a server of `gym:ID`, and remembers what it was asked for."""

    machines: list[Machine] = []  # noqa: RUF012

    def start(self, image: str, options: Mapping[str, str], *, host: str, port: int, token: str | None) -> Machine:
        if "size" in options:
            raise SourceError(f"cloud:{image}: there is no size {options['size']}")
        machine = Machine(interop.serve(f"gym:{image}", host=host, port=port, token=token, step_timeout=5))
        self.machines.append(machine)
        return machine


class Machine:
    id = "machine-1"

    def __init__(self, server: Server) -> None:
        self.server = server
        self.stops = 0
        self.words = ""
        server.start()

    @property
    def url(self) -> str:
        return self.server.url

    def ended(self) -> str:
        return self.words

    def wait(self) -> None:
        raise InteropError("the machine was taken back")

    def stop(self) -> None:
        self.stops += 1
        self.server.stop()


@pytest.fixture(autouse=True)
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Machine]]:
    """What the provider runs, which is installed for this."""
    point = EntryPoint("cloud", f"{__name__}:Cloud", providers.PROVIDERS)
    found = sources.entry_points

    def with_cloud(**asked: str) -> list[EntryPoint]:
        return [*found(**asked), *([point] if asked["group"] == providers.PROVIDERS else [])]

    monkeypatch.setattr(providers, "entry_points", with_cloud)
    monkeypatch.setattr(sources, "entry_points", with_cloud)
    Cloud.machines.clear()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield Cloud.machines
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for machine in Cloud.machines:
        machine.server.stop()


def test_an_environment_has_a_machine(machines: list[Machine]) -> None:
    """It plays what the source plays, and its machine ends with it."""
    env, local = interop.make("cloud:CartPole-v1"), interop.make("gym:CartPole-v1")
    np.testing.assert_array_equal(env.reset(seed=3)[0], local.reset(seed=3)[0])
    np.testing.assert_array_equal(env.step(1)[0], local.step(1)[0])
    local.close()
    (machine,) = machines
    assert machine.stops == 0
    env.close()
    assert machine.stops == 1


@pytest.mark.parametrize(
    ("how", "count"), [({}, 1), ({"sessions": True}, 1), ({"servers": 3}, 3), ({"servers": 2, "sessions": True}, 2)]
)
def test_vectors_have_one_machine_or_several(machines: list[Machine], how: dict[str, int], count: int) -> None:
    """One for all sub-environments, or so many over which they are spread; all end with it."""
    env = interop.make_vec("cloud:CartPole-v1", 3, **how)
    assert env.reset(seed=1)[0].shape == (3, 4)
    assert len(machines) == count
    sessions = 3 if "sessions" in how or count > 1 else 1
    assert sum(it.server.active_sessions for it in machines) == sessions
    env.close()
    assert [it.stops for it in machines] == [1] * count


@pytest.mark.parametrize("servers", [0, 4])
def test_more_machines_than_environments(servers: int) -> None:
    """A number that makes no sense is named, and nothing is started."""
    with pytest.raises(ValueError, match=rf"^servers={servers}; accepted are 1 to num_envs=3"):
        interop.make_vec("cloud:CartPole-v1", 3, servers=servers)
    assert Cloud.machines == []


def test_servers_that_run_are_not_started_again() -> None:
    """`servers` is for what is started."""
    with pytest.raises(ValueError, match="1 alone for servers that run already"):
        interop.make_vec("http://127.0.0.1:9", 3, servers=2)


def test_a_machine_that_ends_is_the_error_of_its_environment(machines: list[Machine]) -> None:
    """The error says which sub-environment it was, and what the machine said; the rest is there to be closed."""
    env = interop.make_vec("cloud:CartPole-v1", 3, servers=3)
    env.reset(seed=1)
    machines[1].words = "it ran out of memory"
    machines[1].server.stop()
    with pytest.raises(SessionLost, match=r"it was that of sub-environment 1; it ran out of memory$"):
        env.step(np.array([0, 1, 0]))
    assert machines[2].server.active_sessions == 1
    env.close()
    assert [it.stops for it in machines] == [1, 1, 1]


@pytest.mark.parametrize("vector", [False, True])
def test_a_machine_that_ends_says_why(machines: list[Machine], vector: bool) -> None:
    """An environment of one machine has its words too, at the step and at every later call."""
    env = interop.make_vec("cloud:CartPole-v1", 2) if vector else interop.make("cloud:CartPole-v1")
    env.reset(seed=1)
    machines[0].words = "it was switched off"
    machines[0].server.stop()
    for call in (lambda: env.step(np.array([0, 1]) if vector else 0), lambda: env.reset()):
        with pytest.raises(SessionLost, match=r"it was switched off$"):
            call()
    env.close()


def test_what_fails_stops_its_machine(machines: list[Machine]) -> None:
    """An environment that cannot be made leaves no machine."""
    with pytest.raises(ValueError, match="render_mode='nothing'"):
        interop.make("cloud:CartPole-v1", render_mode="nothing")
    with pytest.raises(TypeError):
        interop.make_vec("cloud:CartPole-v1", 2, nonsense=True)
    assert [it.stops for it in machines] == [1, 1]
    with pytest.raises(SourceError, match="there is no size 3"):
        interop.make("cloud:CartPole-v1?size=3")


def test_what_was_started_is_stopped_where_the_next_is_not(
    machines: list[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vector of several machines of which one cannot be had leaves none."""
    start = Cloud.start

    def once(self: Cloud, *args: Any, **how: Any) -> Machine:
        if machines:
            raise SourceError("there is no machine left")
        return start(self, *args, **how)

    monkeypatch.setattr(Cloud, "start", once)
    with pytest.raises(SourceError, match="there is no machine left"):
        interop.make_vec("cloud:CartPole-v1", 2, servers=2)
    assert [it.stops for it in machines] == [1]


def test_commands_take_it(machines: list[Machine], capsys: pytest.CaptureFixture[str]) -> None:
    """info and play run it for as long as they need it; serve and run until it ends."""
    assert main(["info", "cloud:CartPole-v1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["target"], facts["name"]) == ("image", "cloud:CartPole-v1", "CartPole-v1")
    assert main(["play", "cloud:CartPole-v1", "--json", "--steps", "3"]) == 0
    capsys.readouterr()
    assert [it.stops for it in machines] == [1, 1]
    for command in ("serve", "run"):
        assert main([command, "cloud:CartPole-v1", "--port", "0", "--token", "secret", "--json"]) == 1
        said = capsys.readouterr()
        assert json.loads(said.out) == {"url": machines[-1].url, "image": "CartPole-v1", "container": "machine-1"}
        assert said.err == "error: the machine was taken back\n"
        assert machines[-1].server.settings.token == "secret"
        assert machines[-1].stops == 1


def test_serve_has_no_settings_for_it(machines: list[Machine], capsys: pytest.CaptureFixture[str]) -> None:
    """What the image's own server decides is refused, by name."""
    options = ["--isolation", "process", "--max-sessions", "3", "--with", "it", "--allow-origin", "http://a.example"]
    assert main(["serve", "cloud:CartPole-v1", *options]) == 2
    assert capsys.readouterr().err == (
        "error: cloud:CartPole-v1 is an image with a server of its own, which has its own settings; leave out "
        "--allow-origin, --isolation, --max-sessions, --with\n"
    )
    assert machines == []


@pytest.mark.parametrize("use", [interop.wrap, interop.serve])
def test_it_is_no_source(use: object) -> None:
    """What wants a source says what takes images."""
    assert callable(use)
    with pytest.raises(SourceError, match=r"^cloud:CartPole-v1 is an image with a server of its own"):
        use("cloud:CartPole-v1")
