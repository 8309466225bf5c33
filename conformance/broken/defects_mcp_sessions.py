"""Defects of sections 10.3 and 10.4: sessions over HTTP, `mcp` frames and `WS /mcp`."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from typing import Any

from conformance.broken import defect
from conformance.broken.defects_mcp import answered, in_frames, tool_defect
from conformance.broken.healthy import Ending, Frame, Healthy, RpcError, Session, parse, rpc_error
from conformance.broken.tools import CALLS, Tools
from conformance.broken.wire import Channel, Gone, Request, Response


class UnbuiltTools(Tools):
    """The server on a bad day: the environment of the first session over HTTP cannot be built."""

    def create(self) -> Frame:
        """Begin a session without a socket. Raises `RpcError` for the first."""
        if not self.said:
            self.said.append("refused")
            raise RpcError(-32000, "Environment factory 'Workshop' failed to create instance.", self.unbuilt())
        return super().create()

    def unbuilt(self) -> Frame | None:
        """The data of the error when an environment cannot be built."""
        return {"factory_name": "Workshop"}


# Sessions over HTTP


def _create_without_numbers(self: Tools) -> Frame:
    try:
        return Tools.create(self)
    except RpcError as exc:
        raise RpcError(exc.code, str(exc), {"max_sessions": self.capacity}) from None


def _new_if_unknown(self: Tools, params: Frame, session: Session | None, call: Any) -> Any:
    session = session or self.sessions.get(params.get("session_id", ""))
    return Tools.with_env(self, {}, session, call)


def _new_environments(self: Tools, params: Frame, session: Session | None, call: Any) -> Any:
    if "session_id" in params:
        self.named(params["session_id"])
    return Tools.with_env(self, {}, session, call)


def _close(change: Callable[[Tools, Frame, Session | None], Frame | None]) -> Any:
    """A method `close` that answers what `change(server, params, session)` returns, unless that is None."""

    def close(self: Tools, params: Frame, session: Session | None) -> Frame:
        changed = change(self, params, session)
        return Tools.close(self, params, session) if changed is None else changed

    return close


def _close_unknown(self: Tools, params: Frame, session: Session | None) -> Frame | None:
    known = params.get("session_id", "") in ("", *self.sessions)
    return None if known else {"session_id": params["session_id"], "closed": True}


def _close_ids(self: Tools, params: Frame, session: Session | None) -> Frame | None:
    if "session_id" not in params:
        raise RpcError(-32600, "session_id is required")
    return None


def _close_and_remember(self: Tools, params: Frame, session: Session | None) -> Frame | None:
    target = self.sessions.get(params.get("session_id", ""))
    if target is None or target.attached:
        return None
    result = Tools.close(self, params, session)
    self.said.append(target.id)
    return result


def _named_after_close(self: Tools, id: str) -> Session:
    return Session(self.build()) if id in self.said else Tools.named(self, id)


def _close_at_once(self: Tools, params: Frame, session: Session | None) -> Frame | None:
    target = self.sessions.get(params.get("session_id", ""))
    if target is None or not target.attached:
        return None
    self.closing.add(target.id)
    return {"session_id": target.id, "closed": True}


def _other_key(self: Tools) -> Frame:
    if len(self.sessions) >= self.capacity:
        return Tools.create(self)
    return {"id": str(uuid.uuid4())}


def _attach_new(self: Tools, wanted: str) -> Session:
    session = Tools.attach(self, wanted)
    session.env = self.build()
    return session


def _attach_only_once(self: Tools, session: Session) -> None:
    session.attached = False
    self.end(session)


def _never_ends(self: Tools, session: Session) -> None:
    if session.id not in self.created:
        self.end(session)
    session.attached = False


tool_defect("an unknown session_id gets a new environment", "MCP-10", "MCP-25", "MCP-28", with_env=_new_if_unknown)
tool_defect("an unknown session_id can be closed", "MCP-10", close=_close(_close_unknown))
tool_defect("a full server has no numbers for a create", "MCP-13", create=_create_without_numbers)
defect("no name of the factory in a create", "MCP-14", base=UnbuiltTools, inputs=CALLS, unbuilt=lambda self: None)
tool_defect("a create answers with `id`", "MCP-23", "MCP-24", "MCP-25", "MCP-27", "MCP-28", "ERR-34", "SES-12",
            create=_other_key)  # fmt: skip
tool_defect("every call of a session has a new environment", "MCP-24", with_env=_new_environments)
tool_defect("a closed session can be used", "MCP-25", close=_close(_close_and_remember), named=_named_after_close)
tool_defect("-32600 for a close without session_id", "MCP-26", close=_close(_close_ids))
tool_defect("an attached socket gets a new environment", "MCP-27", "SES-24", attach=_attach_new)
tool_defect("a session ends when its socket goes", "MCP-27", "MCP-28", "SES-24", leave=_attach_only_once)
tool_defect("an attached session is said to be closed", "MCP-28", close=_close(_close_at_once))
tool_defect("a closed session never ends", "MCP-28", leave=_never_ends)

# WebSockets


def _binary(self: Tools, channel: Channel, response: Frame) -> None:
    channel.send_binary(self.encode(response).encode())


def _chatty(self: Tools, channel: Channel, response: Frame) -> None:
    Tools.say_rpc(self, channel, response)
    if response.get("error", {}).get("message") == "Method not found: close":
        channel.send('{"jsonrpc":"2.0","method":"notifications/message"}')


def _shared() -> Any:
    """A method `session` with one session for all of `WS /mcp`."""
    everybody: list[Session] = []

    def session(self: Tools, channel: Channel) -> None:
        if channel.request.path != "/mcp" or len(self.sessions) >= self.capacity:
            Tools.session(self, channel)
            return
        everybody[:] = everybody or [Session(self.build())]
        with contextlib.suppress(Gone):
            self.serve_rpc(channel, everybody[0])

    return session


def _refused(id: Any, code: int) -> Any:
    def refuse_rpc(self: Tools, channel: Channel, ending: Ending) -> None:
        channel.send(self.encode(rpc_error(id, -32000, *self.refusal(ending))))
        channel.close(code)

    return refuse_rpc


def _full_by_503(self: Tools, request: Request) -> Response | str | None:
    full = request.path == "/mcp" and len(self.sessions) >= self.capacity
    return Response(503) if full else Tools.upgrade(self, request)


def _odd(code: int, *, ends: bool) -> Any:
    def serve_rpc(self: Tools, channel: Channel, session: Session) -> None:
        while True:
            payload, text = channel.receive()
            request = parse(payload, text)
            known = isinstance(request, dict) or request is None
            self.say_rpc(channel, self.answer_rpc(session, request) if known else rpc_error(None, code, "no mapping"))
            if not known and ends:
                channel.close(1000)
                raise Gone

    return serve_rpc


def _unread(response: Frame, *, text: bool, ends: bool = False) -> Any:
    """A method `serve_rpc` that gives one answer to all text that is no JSON, or to all binary messages."""

    def serve_rpc(self: Tools, channel: Channel, session: Session) -> None:
        while True:
            payload, is_text = channel.receive()
            request = parse(payload, is_text)
            wrong = request is None and is_text is text
            self.say_rpc(channel, response if wrong else self.answer_rpc(session, request))
            if wrong and ends:
                channel.close(1000)
                raise Gone

    return serve_rpc


def _frames(env_of: Callable[[Healthy, Session], Any]) -> Any:
    """A method `on_mcp` that runs tools on another environment."""

    def on_mcp(self: Healthy, session: Session, frame: Frame) -> Frame:
        self.forbid_extra(frame, "type", "data")
        other = Session(env_of(self, session))
        other.id = session.id
        return {"type": "mcp", "data": self.rpc(self.object_data(frame), other)}

    return on_mcp


def _own_of_frames() -> Any:
    """The environment of a session's frames, another than that of its steps."""
    environments: dict[str, Any] = {}
    return lambda self, session: environments.setdefault(session.id, self.build())


def _not_a_number(self: Tools, channel: Channel, response: Frame) -> None:
    channel.send(self.encode(response).replace('"data":null', '"data":NaN'))


def _always_new(request: Frame, response: Frame) -> Frame | None:
    return answered("openenv/session/create", {"session_id": str(uuid.uuid4())})(request, response)


def _only_created(self: Tools, id: str) -> Session:
    if id not in self.created:
        raise RpcError(-32602, f"Unknown session_id: {id}")
    return Tools.named(self, id)


tool_defect("WS /mcp answers in binary", "MCP-30", say_rpc=_binary)
tool_defect("WS /mcp talks by itself", "MCP-30", say_rpc=_chatty)
tool_defect("WS /mcp has one session for all", "MCP-30", "SES-12", session=_shared())
tool_defect("1013 when WS /mcp is full", "MCP-31", refuse_rpc=_refused(None, 1013))
tool_defect("the refusal of WS /mcp has an id", "MCP-31", refuse_rpc=_refused(0, 1000))
tool_defect("WS /mcp is refused in the handshake when it is full", "MCP-31", upgrade=_full_by_503)
tool_defect("an array ends WS /mcp", "MCP-32", serve_rpc=_odd(-32600, ends=True))
tool_defect("-32000 for an array on WS /mcp", "MCP-32", serve_rpc=_odd(-32000, ends=False))
tool_defect("-32600 for what is not JSON on WS /mcp", "MCP-66", serve_rpc=_unread(
    rpc_error(None, -32600, "Invalid request"), text=True))  # fmt: skip
tool_defect("an id for what is not JSON on WS /mcp", "MCP-66", serve_rpc=_unread(
    rpc_error(0, -32700, "Parse error"), text=True))  # fmt: skip
tool_defect("what is not JSON ends WS /mcp", "MCP-66", "MCP-32", serve_rpc=_unread(
    rpc_error(None, -32700, "Parse error"), text=True, ends=True))  # fmt: skip
tool_defect("a binary message ends WS /mcp", "MCP-67", serve_rpc=_unread(
    rpc_error(None, -32000, "'text'"), text=False, ends=True))  # fmt: skip
tool_defect("a binary message has a result on WS /mcp", "MCP-67", serve_rpc=_unread(
    {"jsonrpc": "2.0", "id": None, "result": {}}, text=False))  # fmt: skip
tool_defect("each frame has a new environment", "MCP-33", on_mcp=_frames(lambda self, session: self.build()))
tool_defect("frames have an environment of their own", "MCP-33", on_mcp=_frames(_own_of_frames()))
tool_defect("a create in a frame gives a new id", "MCP-34", on_mcp=in_frames(_always_new))
tool_defect("POST /mcp does not know sessions of sockets", "MCP-34", named=_only_created)
tool_defect("NaN on WS /mcp", "MCP-36", say_rpc=_not_a_number)
