"""Packages serve what their source is, started as the official tools start them and as their images do."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import interop
from interop.packaging.write import write
from tests.exact import assert_identical
from tests.packaging.packages import free_port, image, official, started


def episode(env: gymnasium.Env[Any, Any], actions: gymnasium.Space[Any]) -> Iterator[Any]:
    """All that an episode and the beginning of the next one return."""
    yield env.reset(seed=7)
    for _ in range(40):
        step = env.step(actions.sample())
        yield step
        if step[2] or step[3]:
            break
    yield env.reset()


@pytest.mark.parametrize(
    ("source", "command"),
    [("gym:CartPole-v1", image), ("gym:CartPole-v1", official), ("gym:minigrid:MiniGrid-Empty-5x5-v0", official)],
)
def test_an_episode_is_that_of_the_source(source: str, command: Callable[[int], list[str]], tmp_path: Path) -> None:
    """Bit for bit, with types and order, of numbers as of images in a Dict space."""
    directory = tmp_path / "package_env"
    write(source, directory)
    port = free_port()
    native = gymnasium.make(source.removeprefix("gym:"))
    native.action_space.seed(3)
    expected = list(episode(native, native.action_space))
    with started(directory, command(port), port):
        remote = interop.make(f"http://127.0.0.1:{port}")
        native.action_space.seed(3)
        for actual, right in zip(episode(remote, native.action_space), expected, strict=True):
            assert_identical(actual, right)
        remote.close()


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("packages") / "cartpole_env"
    write("gym:CartPole-v1", directory)
    return directory


def test_the_relay_is_transparent(cartpole: Path) -> None:
    """Refusals, subprotocols, errors and ends of sessions are those of our server, by both of its doors."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    with started(cartpole, official(port), port, INTEROP_TOKEN="opal") as process:
        token = {"Authorization": "Bearer opal"}
        assert httpx.get(f"http://127.0.0.1:{port}/schema").status_code == 401
        assert httpx.get(f"http://127.0.0.1:{port}/schema", headers=token).status_code == 200
        for path, headers, status in (("/ws", {}, 401), ("/nothing", token, 403)):
            with pytest.raises(InvalidStatus) as refused:
                connect(url + path, additional_headers=headers)
            assert refused.value.response.status_code == status
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{url}/ws", additional_headers=token, origin="http://evil.example")  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403
        with connect(f"{url}/ws?session_id=none", additional_headers=token) as ws:
            assert '"SESSION_ERROR"' in ws.recv()
            with pytest.raises(ConnectionClosed):
                ws.recv()
            assert ws.close_code == 1000
        with connect(f"{url}/ws", additional_headers=token, subprotocols=["interop.msgpack.v1"]) as ws:  # type: ignore[list-item]
            assert ws.subprotocol == "interop.msgpack.v1"
        with connect(f"{url}/ws", additional_headers=token) as ws:
            ws.send("no json")
            assert '"INVALID_JSON"' in ws.recv()
            ws.send('{"type":"close"}')
            with pytest.raises(ConnectionClosed):
                ws.recv()
            assert ws.close_code == 1000
        with connect(f"{url}/ws", additional_headers=token) as ws:
            ws.send('{"type":"reset"}')
            ws.recv()
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=30)
            assert ws.close_code == 1012


@pytest.mark.slow  # more clients than there are places
def test_places_are_given_back(cartpole: Path) -> None:
    """Clients that vanish leave none of the 64 places taken."""
    port = free_port()
    with started(cartpole, official(port), port):
        for _ in range(70):
            with connect(f"ws://127.0.0.1:{port}/ws") as ws:
                ws.send('{"type":"reset"}')
                assert '"observation"' in ws.recv()
                ws.socket.shutdown(socket.SHUT_RDWR)


def test_a_source_that_cannot_be_served(tmp_path: Path, cartpole: Path) -> None:
    """The server does not start, and says why."""
    app = (cartpole / "server/app.py").read_text().replace("CartPole-v1", "NoSuchEnv-v0")
    (tmp_path / "server").mkdir()
    (tmp_path / "server/app.py").write_text(app)
    port = free_port()
    with pytest.raises(AssertionError, match=r"SourceError: .*NoSuchEnv"), started(tmp_path, official(port), port):
        pass


@pytest.mark.slow  # eleven seconds
def test_it_is_certified(cartpole: Path) -> None:
    """Its server and its files meet every requirement that can be judged, without a warning."""
    report = interop.certify(cartpole)
    assert report.certified
    assert report.findings == []
    outcomes = {it.requirement.id: it.outcome for it in report.results}
    assert {outcomes[f"PKG-{number}"] for number in range(1, 12)} == {"pass"}
