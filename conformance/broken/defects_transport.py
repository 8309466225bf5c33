"""Defects of section 3: handshakes, messages, keepalive and closing."""

from __future__ import annotations

import time
from typing import Any

from websockets.frames import Frame, Opcode

from conformance.broken import SLOW, defect
from conformance.broken.healthy import Healthy
from conformance.broken.wire import Channel, Request, Response

MIB = 1024 * 1024


def _upgrade(refuses: Any, status: int = 400) -> Any:
    """A method `upgrade` that refuses some handshakes."""

    def upgrade(self: Healthy, request: Request) -> Response | str | None:
        return Response(status) if refuses(request) else Healthy.upgrade(self, request)

    return upgrade


def _channel(**members: Any) -> type[Channel]:
    return type("BrokenChannel", (Channel,), members)


def _take_no_fragments(self: Channel, frame: Frame) -> None:
    if frame.opcode is Opcode.CONT or not frame.fin:
        self.close(1003)
    else:
        Channel.take(self, frame)


def _limit(limit: int, code: int = 1009) -> Any:
    def take(self: Channel, frame: Frame) -> None:
        if len(frame.data) > limit:
            self.close(code)
        else:
            Channel.take(self, frame)

    return take


def _pongs(answer: Any) -> type[Channel]:
    """A channel whose answer to a ping is up to `answer(protocol, payload)`."""

    class Broken(Channel):
        def read(self) -> None:
            real = self.protocol.recv_frame

            def recv_frame(frame: Frame) -> None:
                if frame.opcode is Opcode.PING:
                    answer(self.protocol, bytes(frame.data))
                else:
                    real(frame)

            self.protocol.recv_frame = recv_frame  # type: ignore[method-assign]
            super().read()

    return Broken


def _late_pong(protocol: Any, payload: bytes) -> None:
    time.sleep(1.2 if payload.startswith(b"while") else 0)
    protocol.send_pong(payload)


def _greet(self: Healthy, channel: Channel, session: Any) -> None:
    channel.send('{"type":"hello","data":{}}')


def _shut(*, refused: bool) -> Any:
    def shut(self: Healthy, channel: Channel, after: Any) -> None:
        channel.close(1008 if refused == (after is not None) else 1000)

    return shut


def _select_first(self: Healthy, request: Request) -> Any:
    offered = request.headers.get("sec-websocket-protocol", "").split(",")[0].strip()
    return Healthy.upgrade(self, request) or offered or None


def _full_by_503(self: Healthy, request: Request) -> Response | str | None:
    return Response(503) if len(self.sessions) >= self.capacity else Healthy.upgrade(self, request)


def _empty_id_is_unknown(self: Healthy, channel: Channel) -> Any:
    if channel.request.target.endswith("session_id="):
        return self.attach("")
    return Healthy.admit(self, channel)


def _binary_states(self: Healthy, channel: Channel, session: Any, request: Any, reply: Any) -> None:
    if reply["type"] == "state":
        channel.send_binary(self.encode(reply).encode())
    else:
        Healthy.say(self, channel, session, request, reply)


def _huge_once(self: Healthy, channel: Channel, session: Any, request: Any, reply: Any) -> None:
    if self.said:
        Healthy.say(self, channel, session, request, reply)
    else:
        self.said.append("once")
        channel.send(self.encode(reply) + " " * (100 * MIB))


def _compressed(self: Channel, text: str) -> None:
    with self.lock:
        self.protocol.writes.append(b"\xc1\x05" + b"12345")  # a text frame with the bit of compression
        self.flush()


class Everywhere:
    """Contains every path but the other door's."""

    def __contains__(self, path: object) -> bool:
        return path != "/mcp"


defect(
    "wants exactly `Connection: Upgrade`", "WS-1",
    upgrade=_upgrade(lambda request: "," in request.headers.get("connection", "")),
)  # fmt: skip
defect("wants an Origin", "WS-2", without="ws", upgrade=_upgrade(lambda request: "origin" not in request.headers))
defect("selects any subprotocol", "WS-3", upgrade=_select_first)
defect("greets", "WS-4", without="ws", greet=_greet)
defect("a WebSocket everywhere", "WS-5", "WS-6", paths=Everywhere())
defect("404 where there is no WebSocket", "WS-6", upgrade=_upgrade(lambda request: request.path != "/ws", 404))
defect("refuses in the handshake when it is full", "WS-7", "ERR-28", without="ws", upgrade=_full_by_503)
defect("an empty session_id is unknown", "WS-8", admit=_empty_id_is_unknown)
defect("states are binary", "WS-9", say=_binary_states)
defect("no fragments", "WS-11", channel=_channel(take=_take_no_fragments))
defect("a limit of 512 KiB", "WS-12", "WS-13", channel=_channel(take=_limit(512 * 1024)))
defect("a limit of 8 MiB", "WS-13", channel=_channel(take=_limit(8 * MIB)))
defect("1008 for a long message", "WS-14", channel=_channel(take=_limit(16 * MIB, 1008), max_size=None))
defect("a reply of 100 MiB", "WS-15", "SES-14", say=_huge_once)
defect("compresses unasked", "WS-17", without="ws", channel=_channel(send=_compressed))
defect("no pongs", "WS-20", channel=_pongs(lambda protocol, payload: None))
defect("pongs of its own", "WS-20", channel=_pongs(lambda protocol, payload: protocol.send_pong(b"other")))
defect("late pongs", "WS-21", inputs=SLOW, channel=_pongs(_late_pong))
defect("1008 after a close frame", "WS-24", shut=_shut(refused=False))
defect("1008 after a refusal", "WS-25", shut=_shut(refused=True))
defect("1000 when it stops", "WS-26", going_away=1000)
