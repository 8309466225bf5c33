"""The healthy server of a tool environment: calls of tools through step, `POST /mcp`, `mcp` frames and `WS /mcp`."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, create_model

from conformance.broken.healthy import Counter, Ending, Frame, Healthy, RpcError, Session, error, parse, rpc_error
from conformance.broken.wire import Channel, Gone
from conformance.probe import Inputs

CALLS = Inputs(
    actions=tuple({"type": "call_tool", "tool_name": "add", "arguments": {"a": a, "b": 1}} for a in (1, 2, 3)),
    calls=({"name": "add", "arguments": {"a": 1, "b": 2}}, {"name": "bump"}, {"name": "fail"}),
)
"""What a run is given about the workshop."""


class CallTool(BaseModel):
    """A call; the action schema describes it alone."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["call_tool"] = "call_tool"
    tool_name: str
    arguments: dict[str, Any] = {}


class ListTools(BaseModel):
    """The other action."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["list_tools"]


class Shown(BaseModel):
    """What the workshop shows: after a reset nothing, else a list of tools or the outcome of a call."""

    model_config = ConfigDict(extra="forbid")

    done: bool = False
    reward: float | None = None
    metadata: dict[str, Any] = {}
    tools: list[dict[str, Any]] = []
    tool_name: str = ""
    result: Any = None
    error: dict[str, Any] | None = None


class Arguments(BaseModel):
    """Arguments of a tool."""

    model_config = ConfigDict(extra="forbid")


class Add(Arguments):
    """Arguments of `add`."""

    a: int
    b: int


class Bump(Arguments):
    """Arguments of `bump`."""

    n: int = 1


class Failed(Exception):
    """A call that failed."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(message)
        self.type = type


class Workshop(Counter):
    """The environment: `add` adds, `bump` counts what it was given, `fail` fails."""

    tools: ClassVar[dict[str, tuple[str, type[BaseModel]]]] = {
        "add": ("Add two integers.", Add),
        "bump": ("Count up.", Bump),
        "fail": ("", create_model("Fail", __base__=Arguments)),
    }

    def result(self, reward: Any, done: bool, payload: Any = None) -> Frame:
        """The `data` of an observation frame."""
        return {"observation": {"metadata": {}, **(payload or {})}, "reward": reward, "done": done}

    def step(self, action: Frame) -> Frame:
        """List the tools, or call one."""
        if action["type"] == "list_tools":
            return self.result(None, False, {"tools": [self.tool(name, "input_schema") for name in self.tools]})
        self.state["step_count"] += 1
        outcome: Frame = {"tool_name": action["tool_name"], "result": None, "error": None}
        try:
            outcome["result"] = self.call(action["tool_name"], action["arguments"])
        except Failed as exc:
            outcome["error"] = {"error_type": exc.type, "message": str(exc)}
        return self.result(1.0, False, outcome)

    def tool(self, name: str, key: str) -> Frame:
        """A tool as it is listed, its schema under a key."""
        description, arguments = self.tools[name]
        return {"name": name, "description": description, key: arguments.model_json_schema()}

    def call(self, name: str, arguments: Frame) -> Any:
        """Call a tool. Raises `Failed`."""
        if name not in self.tools:
            raise Failed("tool_not_found", f"Unknown tool: {name!r}")
        try:
            fitting = self.tools[name][1].model_validate(arguments).model_dump()
        except ValueError as exc:
            raise Failed("invalid_args", str(exc)) from None
        match name:
            case "add":
                return fitting["a"] + fitting["b"]
            case "bump":
                self.state["value"] += fitting["n"]
                return self.state["value"]
        raise Failed("execution_error", "the tool failed")


class Tools(Healthy):
    """The server, with sessions over HTTP and `WS /mcp`."""

    action_model = CallTool
    observation_model = Shown
    env_name = "workshop"
    paths: Any = ("/ws", "/mcp")

    def __init__(self) -> None:
        super().__init__()
        self.created: set[str] = set()
        """Sessions that live without a socket."""
        self.closing: set[str] = set()
        """Those that end with their socket."""

    def build(self) -> Any:
        """A new environment."""
        return Workshop()

    def action(self, data: Frame) -> Frame:
        """A validated action. Raises `Invalid`."""
        model = ListTools if data.get("type") == "list_tools" else self.action_model
        action: Frame = self.validated(model, data).model_dump()
        return action

    # JSON-RPC

    def rpc_result(self, method: str, params: Frame, session: Session | None) -> Any:
        """The result of a method. Raises `RpcError`."""
        match method:
            case "openenv/session/create" if session is None:
                return self.create()
            case "openenv/session/close":
                return self.close(params, session)
            case "tools/list":
                return self.with_env(params, session, lambda env: {"tools": self.list_tools(env)})
            case "tools/call" if "name" in params:
                return self.with_env(params, session, lambda env: self.call_tool(env, params))
        return super().rpc_result(method, params, session)

    def with_env(self, params: Frame, session: Session | None, call: Any) -> Any:
        """Call with the environment of a session, or a new one. Raises `RpcError`."""
        if session is None and "session_id" in params:
            session = self.named(params["session_id"])
        if session is not None:
            return call(session.env)
        env = self.build()
        try:
            return call(env)
        finally:
            env.close()

    def named(self, id: str) -> Session:
        """The session of an id. Raises `RpcError`."""
        session = self.sessions.get(id)
        if session is None:
            raise RpcError(-32602, f"Unknown session_id: {id}")
        return session

    def list_tools(self, env: Workshop) -> list[Frame]:
        """The tools."""
        return [env.tool(name, "inputSchema") for name in env.tools]

    def call_tool(self, env: Workshop, params: Frame) -> Any:
        """The result of a call. Raises `RpcError`."""
        try:
            return self.tool_result(env.call(params["name"], params.get("arguments", {})))
        except Failed as exc:
            raise RpcError(-32603, str(exc)) from None

    def tool_result(self, value: Any) -> Frame:
        """A value as the result of a call."""
        return {"content": [{"type": "text", "text": json.dumps(value)}], "data": value, "is_error": False}

    # Sessions over HTTP

    def create(self) -> Frame:
        """Begin a session without a socket. Raises `RpcError`."""
        try:
            session = self.start()
        except Ending as exc:
            raise RpcError(-32000, *self.refusal(exc)) from None
        self.created.add(session.id)
        return {"session_id": session.id}

    def refusal(self, ending: Ending) -> tuple[str, Frame]:
        """The message and the data of the error that refuses a session."""
        data = dict(ending.frame["data"])
        data.pop("code")
        return data.pop("message"), data

    def close(self, params: Frame, session: Session | None) -> Frame:
        """End a session, at once or with its socket. Raises `RpcError`."""
        if "session_id" not in params:
            raise RpcError(-32602, "Invalid params - 'session_id' is required")
        target = self.named(params["session_id"])
        if target is session:
            raise RpcError(-32600, "Cannot close the session of the socket that asks")
        if target.attached:
            self.closing.add(target.id)
            return {"session_id": target.id, "closed": False, "closing": True}
        self.end(target)
        return {"session_id": target.id, "closed": True}

    def attach(self, wanted: str) -> Session:
        """The session of an id. Raises `Ending`."""
        with self.lock:
            session = self.sessions.get(wanted) if wanted in self.created else None
            if session is None:
                raise Ending(error("SESSION_ERROR", f"Unknown session_id: {wanted}"))
            if session.attached:
                raise Ending(error("SESSION_ERROR", f"Session {wanted} already has an attached WebSocket"))
            session.attached = True
            return session

    def leave(self, session: Session) -> None:
        """The socket of a session is gone."""
        session.attached = False
        if session.id not in self.created or session.id in self.closing:
            self.end(session)

    # WS /mcp

    def session(self, channel: Channel) -> None:
        """Serve a WebSocket."""
        if channel.request.path != "/mcp":
            super().session(channel)
            return
        session = None
        try:
            session = self.start()
            self.serve_rpc(channel, session)
        except Ending as exc:
            self.refuse_rpc(channel, exc)
        except Gone:
            pass
        finally:
            if session is not None:
                self.leave(session)

    def refuse_rpc(self, channel: Channel, ending: Ending) -> None:
        """Refuse a session of `WS /mcp`."""
        channel.send(self.encode(rpc_error(None, -32000, *self.refusal(ending))))
        channel.close(1000)

    def serve_rpc(self, channel: Channel, session: Session) -> None:
        """Answer the requests of `WS /mcp`."""
        while True:
            payload, text = channel.receive()
            self.say_rpc(channel, self.answer_rpc(session, parse(payload, text)))

    def answer_rpc(self, session: Session, request: Any) -> Frame:
        """The response to a message of `WS /mcp`."""
        return self.rpc(request, session) if isinstance(request, dict) else rpc_error(None, -32700, "Parse error")

    def say_rpc(self, channel: Channel, response: Frame) -> None:
        """Send a response on `WS /mcp`."""
        channel.send(self.encode(response))
