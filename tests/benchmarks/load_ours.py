"""Load generator: our clients, and the bare client of the floor."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.uri import parse_uri

import interop
from tests.benchmarks.load import FRAMES, STEPS, Burst, actions, generate


@contextmanager
def env(url: str, *, steps: int = STEPS, **options: Any) -> Iterator[Burst]:
    """`interop.make`, with actions as `action_space.sample()` returns them."""
    with interop.make(url, **options) as env:
        env.reset(seed=0)
        chosen = map(np.int64, actions())

        def burst() -> int:
            for action in islice(chosen, steps):
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
            return steps

        yield burst


@contextmanager
def session(url: str, **options: Any) -> Iterator[Burst]:
    """`interop.connect`: the session alone, no spaces."""
    with interop.connect(url, **options) as session:
        session.reset(seed=0)
        chosen = actions()

        def burst() -> int:
            for action in islice(chosen, STEPS):
                if session.step({"action": action}).done:
                    session.reset()
            return STEPS

        yield burst


@contextmanager
def asynchronous(url: str) -> Iterator[Burst]:
    """`interop.connect_async`, the loop kept between bursts."""
    with asyncio.Runner() as runner:
        session = runner.run(interop.connect_async(url))
        chosen = actions()

        async def burst() -> int:
            for action in islice(chosen, STEPS):
                if (await session.step({"action": action})).done:
                    await session.reset()
            return STEPS

        runner.run(session.reset(seed=0))
        try:
            yield lambda: runner.run(burst())
        finally:
            runner.run(session.close())


@contextmanager
def vector(url: str, *, num_envs: int = 8, **options: Any) -> Iterator[Burst]:
    """`interop.make_vec`; counts steps of sub-environments."""
    envs = interop.make_vec(url, num_envs, **options)
    try:
        envs.reset(seed=0)
        chosen = map(np.array, zip(*[actions()] * num_envs, strict=True))

        def burst() -> int:
            for batch in islice(chosen, STEPS):
                envs.step(batch)
            return STEPS * num_envs

        yield burst
    finally:
        envs.close()


@contextmanager
def floor(url: str) -> Iterator[Burst]:
    """A blocking socket and websockets' protocol without I/O: a message out, a message in, nothing looked at."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocol = ClientProtocol(parse_uri(f"ws://{parts.netloc}/"))
        protocol.send_request(protocol.connect())
        _exchange(sock, protocol, Response)

        def burst() -> int:
            for _ in range(STEPS):
                protocol.send_binary(b"0123456789")
                _exchange(sock, protocol, Frame)
            return STEPS

        yield burst


def _exchange(sock: socket.socket, protocol: ClientProtocol, awaited: type) -> None:
    for data in protocol.data_to_send():
        sock.sendall(data)
    while not any(isinstance(event, awaited) for event in protocol.events_received()):
        data = sock.recv(1 << 16)
        if not data:
            raise ConnectionError("the floor's server has gone")
        protocol.receive_data(data)


if __name__ == "__main__":
    generate(
        {
            "env": env,
            "env-json": partial(env, binary=False),
            "session": session,
            "session-json": partial(session, binary=False),
            "async": asynchronous,
            "frames": partial(env, steps=FRAMES),
            "frames-json": partial(env, steps=FRAMES, binary=False),
            "vector-sync": partial(vector, vectorization="sync", sessions=False),
            "vector-native": partial(vector, vectorization="native", sessions=False),
            "vector-sessions": partial(vector, sessions=True),
            "floor": floor,
        }
    )
