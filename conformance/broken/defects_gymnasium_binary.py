"""Defects of section 13.1: sessions that speak MessagePack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack

from conformance.broken.gym import Gym
from conformance.broken.gym_defects import broken, observes
from conformance.broken.healthy import Ending, Frame, Healthy, Invalid, Rejected, Session, entry, error
from conformance.broken.wire import Channel
from conformance.values import MSGPACK_V1, Array


class SelectsAnyway(Channel):
    """A channel that selects the subprotocol for whatever has a similar name."""

    def handshake(self) -> Any:
        real = self.protocol.accept

        def accept(request: Any) -> Any:
            answer = real(request)
            if self.request.headers.get("sec-websocket-protocol", "").startswith("interop.msgpack,"):
                answer.headers["Sec-WebSocket-Protocol"] = MSGPACK_V1
            return answer

        self.protocol.accept = accept  # type: ignore[method-assign]
        return super().handshake()


def _text_for(chosen: Callable[[Gym, Frame], bool]) -> Any:
    """A method `say_packed` that sends some frames as text."""

    def say_packed(self: Gym, channel: Channel, frame: Frame) -> None:
        if chosen(self, frame):
            channel.send(self.encode(frame))
        else:
            Gym.say_packed(self, channel, frame)

    return say_packed


def _packs(change: Callable[[Frame], Frame]) -> Any:
    """A method `alter_packed` that changes packed frames."""
    return lambda self, session, frame: change(frame)


def _moved(array: Array) -> Array:
    return replace(array, items=array.items[::-1])


def _wrong_mask(observation: Frame) -> Frame:
    near = observation["info"].get("near")
    info = {**observation["info"], "near": replace(near, shape=(4,))} if near else {}
    return {**observation, "info": info}


def _reads(text: Any = None, data: Any = None, other: Any = None) -> Any:
    """A method `read_packed` with another answer to a text message, to bytes that are none, to what is no map."""

    def read_packed(self: Gym, payload: bytes, is_text: bool) -> Frame:
        if is_text and text is not None:
            return _answered(text, self, payload)
        try:
            return Gym.read_packed(self, payload, is_text)
        except Rejected:
            if data is None:
                raise
            return _answered(data, self, payload)
        except Invalid:
            if other is None or is_text:
                raise
            return _answered(other, self, payload)

    return read_packed


def _answered(answer: Any, server: Gym, payload: bytes) -> Frame:
    if isinstance(answer, Exception):
        raise answer
    frame: Frame = answer(server, payload)
    return frame


def _first_value(server: Gym, payload: bytes) -> Frame:
    """The first value of a message, whatever follows."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(payload)
    try:
        return dict(unpacker.unpack())
    except (ValueError, TypeError, msgpack.UnpackException):
        raise Rejected(error("INVALID_JSON", "Invalid MessagePack")) from None


def _other_error(frame: Frame) -> Frame:
    if frame["data"].get("code") != "UNKNOWN_TYPE":
        return frame
    return error("VALIDATION_ERROR", "Invalid message", errors=[entry("literal_error", ["type"], "", None)])


def _bare_error(frame: Frame) -> Frame:
    data = {key: value for key, value in frame["data"].items() if key != "errors" or frame["type"] != "error"}
    return {**frame, "data": data}


def _uncounted(self: Gym, channel: Channel) -> Session:
    if channel.subprotocol is None:
        return Gym.admit(self, channel)
    session = Session(self.build())
    session.env.packed = True
    return session


def _other_code(self: Gym, channel: Channel, after: Frame | None) -> None:
    channel.close(1001 if channel.subprotocol and after is None else 1000)


_CODE = Rejected(error("INVALID_JSON", "Invalid"))
_FORM = Invalid([entry("value_error", [], "Invalid", None)])
_END = Ending(error("SESSION_ERROR", "no MessagePack"))

broken("selects it for names like its own", "BIN-2", channel=SelectsAnyway)
broken("errors are texts", "BIN-3", say_packed=_text_for(lambda self, frame: frame["type"] == "error"))
broken(
    "refusals are texts", "BIN-3",
    say_packed=_text_for(lambda self, frame: frame["data"].get("code") == "CAPACITY_REACHED"),
)  # fmt: skip
broken("a version in every packed frame", "BIN-5", alter_packed=_packs(lambda frame: {**frame, "version": 1}))
broken(
    "no reward in packed observations", "BIN-5",
    alter_packed=_packs(lambda frame: {**frame, "data": {k: v for k, v in frame["data"].items() if k != "reward"}}),
)  # fmt: skip
broken("a text is no JSON", "BIN-6", read_packed=_reads(text=_CODE))
broken("takes texts too", "BIN-6", read_packed=_reads(text=lambda self, payload: Healthy.read(self, payload, True)))
broken("what is no MessagePack has the wrong form", "BIN-7", read_packed=_reads(data=_FORM))
broken("ends the session for what is no MessagePack", "BIN-7", read_packed=_reads(data=_END))
broken("takes more than one value in a message", "BIN-7", read_packed=_reads(data=_first_value))
broken("what is no map is no MessagePack", "BIN-8", read_packed=_reads(other=_CODE))
broken("takes what is no map for an empty one", "BIN-8", read_packed=_reads(other=lambda self, payload: {}))
broken(
    "packs arrays as float64", "BIN-9", "GYM-13",
    alter_packed=_packs(observes(lambda it: {**it, "obs": replace(it["obs"], dtype="float64")})),
)  # fmt: skip
broken(
    "packs arrays backwards", "BIN-9", "GYM-13",
    alter_packed=_packs(observes(lambda it: {**it, "obs": _moved(it["obs"])})),
)  # fmt: skip
broken("packs arrays with a wrong shape", "BIN-9", "GYM-13", alter_packed=_packs(observes(_wrong_mask)))
broken("other codes in MessagePack", "BIN-10", alter_packed=_packs(_other_error))
broken("errors without entries in MessagePack", "BIN-10", alter_packed=_packs(_bare_error))
broken("packed sessions do not count", "BIN-10", admit=_uncounted)
broken("1001 after a packed close frame", "BIN-10", shut=_other_code)
