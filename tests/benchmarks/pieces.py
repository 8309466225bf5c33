"""Where the time of one CartPole step goes: `python -m tests.benchmarks.pieces`.

Each piece runs alone, without a peer, on the bytes of a real step; the kernel's part is a bare ping-pong of as many
bytes between two processes. Their sum is compared with whole steps over a real connection. The best of several repeats
counts: what other work takes away from a piece is not the piece. Only waking up is no such thing: a core that sleeps
is part of every step, so whole steps and the kernel's part also have a median.
"""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import sys
import time
import timeit
from collections.abc import Callable
from contextlib import closing
from typing import Any, cast

import gymnasium
import numpy as np
from rich.console import Console
from rich.table import Table
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

import interop
from interop.protocol.codecs import MSGPACK_V1, codec
from interop.protocol.frames import parse
from interop.protocol.session import ClientSession
from interop.server.session import Session as ServerSession
from interop.websocket import Connection
from tests.benchmarks import processes
from tests.benchmarks.variants import CARTPOLE

ACTION = {"action": np.int64(1)}
URI = parse_uri("ws://localhost/ws")
Piece = tuple[str, float]
Spread = tuple[float, float]
"""Best and median."""


class FakeSocket:
    """A socket that costs nothing: it swallows what is sent and always gives the same bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv(self, size: int, flags: int = 0) -> bytes:
        return self._data

    def sendall(self, data: bytes) -> None:
        pass

    def setblocking(self, blocking: bool) -> None:
        pass

    def setsockopt(self, *_: Any) -> None:
        pass


def best(call: Callable[[], Any], number: int = 100, repeats: int = 200) -> float:
    """Microseconds of one call, in the best repeat."""
    call()
    return min(timeit.repeat(call, number=number, repeat=repeats)) / number * 1e6


def framed(payload: bytes, *, text: bool, mask: bool) -> bytes:
    """A message as it is on the wire."""
    return Frame(Opcode.TEXT if text else Opcode.BINARY, payload).serialize(mask=mask)


def connection(protocol: ClientProtocol | ServerProtocol, data: bytes) -> Connection:
    """A connection over a fake socket."""
    return Connection(FakeSocket(data), protocol, send_timeout=1, max_size=1 << 62)  # type: ignore[arg-type]


def measure_websocket(protocol: Callable[[], Any], outgoing: bytes, incoming: bytes, text: bool) -> dict[str, float]:
    """Sending and receiving through `Connection`, and the part of both that is websockets' protocol without I/O."""
    there, bare = connection(protocol(), incoming), protocol()

    def alone() -> None:
        (bare.send_text if text else bare.send_binary)(outgoing)
        bare.data_to_send()
        bare.receive_data(incoming)
        bare.events_received()
        bare.data_to_send()

    def both() -> None:
        there.send(outgoing, text=text)
        there.receive()

    return {"bare": best(alone), "both": best(both)}


class Step:
    """One step of both sides, with the bytes of a real one."""

    def __init__(self, subprotocol: str | None) -> None:
        self.text = subprotocol is None
        self.codec = codec(subprotocol)
        self.client = ClientSession(self.codec)
        self.server = ServerSession(interop.wrap(CARTPOLE), self.codec)
        assert self.server.open() is None
        self.environment = cast(Any, self.server._environment)
        self.server.handle(self.codec.encode({"type": "reset", "data": {"seed": 0}}), text=self.text)
        self.local = self.environment._env
        self.state = self.local.unwrapped.state
        self.data = {"action": 1} if self.text else ACTION
        self.request = self.client.send("step", self.data)
        reply = self.server.handle(self.request, text=self.text)
        assert reply is not None
        self.reply = reply
        self.client.receive(reply, text=self.text)
        self.action = self.codec.decode(self.request, text=self.text)["data"]
        self.result = self.environment.step({"action": 1} if self.text else self.action)

    def rewound(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """The call from the same state each time, so that the episode never ends."""
        base, limit, state = self.local.unwrapped, self.local, self.state

        def rewound() -> None:
            base.state = state
            limit._elapsed_steps = 0
            call()

        return rewound

    def turn(self) -> None:
        """The client's side of a step without a connection."""
        self.client.send("step", self.data)
        self.client.receive(self.reply, text=self.text)

    def measure(self) -> dict[str, float]:
        """Every part alone."""
        text, messages, environment = self.text, self.codec, self.environment
        up, down = (framed(self.request, text=text, mask=True), framed(self.reply, text=text, mask=False))
        calls: dict[str, Callable[[], Any]] = {
            "client": self.turn,
            "client encode": lambda: messages.encode({"type": "step", "data": self.data}),
            "client decode": lambda: messages.decode(self.reply, text=text),
            "handle": self.rewound(lambda: self.server.handle(self.request, text=text)),
            "server decode": lambda: parse(messages.decode(self.request, text=text), vector=not text),
            "step": self.rewound(lambda: environment.step({"action": 1} if text else self.action)),
            "gym": self.rewound(lambda: self.local.step(1)),
        }
        if text:
            ready = environment.plain(self.result)
            calls["plain"] = lambda: (environment.plain(self.result), environment.native_action(self.action))
            calls["server encode"] = lambda: messages.encode_result(ready)
        else:
            calls["server encode"] = lambda: messages.encode_result(self.result)
        micros = {name: best(call) for name, call in calls.items()}
        client = measure_websocket(lambda: ClientProtocol(URI, state=OPEN), self.request, down, text)
        server = measure_websocket(lambda: ServerProtocol(state=OPEN), self.reply, up, text)
        return {
            **micros,
            **{f"client {name}": value for name, value in client.items()},
            **{f"server {name}": value for name, value in server.items()},
        }


def pieces(step: Step, passes: int = 4) -> tuple[list[Piece], float]:
    """The pieces of client and server, and what websockets without I/O alone would take for both sides' messages."""
    measured = [step.measure() for _ in range(passes)]
    m = {name: min(one[name] for one in measured) for name in measured[0]}
    plain = m.get("plain", 0.0)
    parts = [
        ("client: encode the action", m["client encode"]),
        ("client: decode the reply", m["client decode"]),
        ("client: session state machine", m["client"] - m["client encode"] - m["client decode"]),
        ("client: WebSocket, our Connection", m["client both"]),
        ("server: WebSocket, our Connection", m["server both"]),
        ("server: decode and check the frame", m["server decode"]),
        ("server: CartPole's own step", m["gym"]),
        ("server: our wrap around it (action_space.contains)", m["step"] - m["gym"]),
        *([("server: plain JSON forms of action and result", plain)] if plain else []),
        ("server: encode the reply", m["server encode"]),
        ("server: session, dispatch", m["handle"] - m["server decode"] - m["step"] - plain - m["server encode"]),
    ]
    return parts, m["client bare"] + m["server bare"]


def ping_pong(there: int, back: int, client: float, server: float, seconds: float = 3.0) -> Spread:
    """Microseconds of a bare round trip over loopback TCP between two processes, beside the time that both sides spin.

    Both spin as long as the real ones work, so that the other falls asleep as in a real step and must be woken.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = (listener.getsockname(), back, server)
        child = multiprocessing.get_context("spawn").Process(target=_pong, args=arguments)
        child.start()
        listener.settimeout(30)
        sock, _ = listener.accept()
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = bytes(there)

        def turn() -> None:
            _spin(client)
            sock.sendall(request)
            sock.recv(1 << 16)

        lowest, median = _windows(turn, seconds)
    child.join(5)
    child.kill()
    return lowest - client - server, median - client - server


def _pong(address: tuple[str, int], back: int, server: float) -> None:
    with socket.create_connection(address) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reply = bytes(back)
        while sock.recv(1 << 16):
            _spin(server)
            sock.sendall(reply)


def _spin(micros: float) -> None:
    end = time.perf_counter() + micros / 1e6
    while time.perf_counter() < end:
        pass


def _windows(turn: Callable[[], Any], seconds: float) -> Spread:
    """Microseconds of a turn: in the best window of 20 turns, and in the median one."""
    windows, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(20):
            turn()
        windows.append((time.perf_counter() - start) / 20 * 1e6)
    return min(windows), statistics.median(windows)


def whole(url: str, *, binary: bool) -> tuple[Spread, Spread]:
    """Microseconds of a whole step over a real connection: with `interop.connect`, with `interop.make`."""
    session = interop.connect(url, binary=binary)
    env = interop.make(url, binary=binary)
    with session, closing(env):
        env.reset(seed=0)
        session.reset(seed=0)
        plain = ACTION if binary else {"action": 1}
        actions = iter(range(1 << 60))

        def step() -> None:
            # A pole that balances: it is pushed back and forth, and never reset in between.
            session.step(plain)

        def env_step() -> None:
            env.step(np.int64(next(actions) & 1))

        return _windows(step, 3.0), _windows(env_step, 3.0)


def main() -> int:
    """Print one table for each codec."""
    gymnasium.logger.min_level = gymnasium.logger.ERROR  # steps after the end of an episode
    console = Console()
    console.width = max(console.width, 100)
    with processes.server(processes.ours(CARTPOLE)) as running:
        for title, name in (("interop.msgpack.v1", MSGPACK_V1), ("plain JSON", None)):
            one = Step(name)
            parts, library = pieces(one)
            there, back = (
                len(framed(one.request, text=one.text, mask=True)),
                len(framed(one.reply, text=one.text, mask=False)),
            )
            client = sum(micros for label, micros in parts if label.startswith("client"))
            server = sum(micros for label, micros in parts if label.startswith("server"))
            kernel = ping_pong(there, back, client, server)
            step, env_step = whole(running.url, binary=name is not None)
            table = Table(title, "µs, best", "median", title_justify="left")
            for label, micros in parts:
                table.add_row(label, f"{micros:.1f}", "")
            table.add_section()
            pieces_sum = client + server
            for label, spread in (
                (f"kernel: {there} bytes there, {back} back, two processes woken", kernel),
                ("sum of all", (kernel[0] + pieces_sum, kernel[1] + pieces_sum)),
                ("a whole step measured, interop.connect", step),
                ("a whole step measured, interop.make", env_step),
            ):
                table.add_row(label, *(f"{micros:.1f}" for micros in spread))
            table.add_section()
            table.add_row("to compare: both WebSockets by websockets without I/O", f"{library:.1f}", "")
            console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
