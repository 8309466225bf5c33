"""A tiny healthy server: a counter that keeps every requirement that applies to it. Defects are planted into copies.

Its methods are small so that each can be replaced alone. It shares no code with the server of this project.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import to_json

from conformance.broken import openapi
from conformance.broken.wire import Channel, Gone, Request, Response

Frame = dict[str, Any]
TASK_ROUTES = {
    "splits": ("GET", "list_splits"),
    "tasks": ("POST", "list_tasks"),
    "num_tasks": ("POST", "num_tasks"),
    "task": ("POST", "get_task"),
    "task_range": ("POST", "get_task_range"),
}
"""Methods of the Task API's routes, and their names in the text of a 501."""


class Invalid(Exception):
    """A frame, body or action of the wrong form; `errors` are its entries."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("Invalid message")
        self.errors = errors


class Ending(Exception):
    """The session ends after this error frame."""

    def __init__(self, frame: Frame) -> None:
        super().__init__("the session ends")
        self.frame = frame


class Action(BaseModel):
    """What the counter does."""

    model_config = ConfigDict(extra="forbid")

    by: Annotated[int, Field(ge=-10, le=10)]
    op: Literal["add", "raise", "reject", "slow", "uncarryable", "end", "exit"] = "add"
    payload: Any = None

    @field_validator("op")
    @classmethod
    def _refuse(cls, value: str) -> str:
        if value == "reject":
            raise ValueError("op must not be reject")
        return value


class Observation(BaseModel):
    """What the counter shows: its value, and values that are hard to write."""

    model_config = ConfigDict(extra="forbid")

    done: bool = False
    reward: float | int | bool | None = None
    metadata: dict[str, Any] = {}
    value: int
    floats: list[float | None]
    text: str
    payload: Any = None


class State(BaseModel):
    """Where the counter is."""

    episode_id: str | None = None
    step_count: Annotated[int, Field(ge=0)] = 0
    value: int = 0


class ResetBody(BaseModel):
    """Body of `POST /reset`."""

    model_config = ConfigDict(extra="allow")

    seed: Annotated[int | None, Field(ge=0)] = None
    episode_id: Annotated[str | None, Field(max_length=255)] = None


class StepBody(BaseModel):
    """Body of `POST /step`."""

    model_config = ConfigDict(extra="allow")

    action: dict[str, Any]
    timeout_s: Annotated[float | None, Field(gt=0)] = None
    request_id: Annotated[str | None, Field(max_length=255)] = None


class Counter:
    """The environment. It ends after 12 steps."""

    slow = 2.2
    """Seconds that a slow step takes."""
    length = 12

    def __init__(self) -> None:
        self.state: dict[str, Any] = {"episode_id": None, "step_count": 0, "value": 0}
        self.closed = 0

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Frame:
        """Start an episode at the seed's last digit."""
        self.state = {"episode_id": episode_id or str(uuid.uuid4()), "step_count": 0, "value": (seed or 0) % 10}
        return self.result(None, False)

    def step(self, action: dict[str, Any]) -> Frame:
        """Add."""
        match action.get("op", "add"):
            case "raise":
                raise RuntimeError("too far")
            case "exit":
                raise SystemExit(3)
            case "slow":
                time.sleep(self.slow)
        self.state["step_count"] += 1
        self.state["value"] += action["by"]
        done = action.get("op") == "end" or self.state["step_count"] >= self.length
        payload = object() if action.get("op") == "uncarryable" else action.get("payload")
        return self.result(float(action["by"]), done, payload)

    def result(self, reward: Any, done: bool, payload: Any = None) -> Frame:
        """The `data` of an observation frame."""
        value = self.state["value"]
        metadata = {"big": value} if value > 5 else {}
        observation = {
            "metadata": metadata,
            "value": value,
            "floats": [0.1, 1.0, -0.0, 1e-7, 1e16, 0.00001, float("nan"), value / 3],
            "text": 'é\u2028\U0001f600"\\\n\x00\x7f/<',
            "payload": payload,
        }
        data = {"observation": observation, "reward": reward, "done": done}
        return {**data, "metadata": metadata} if metadata else data

    def close(self) -> None:
        """Count closes."""
        self.closed += 1


class Session:
    """One client's environment."""

    def __init__(self, env: Any) -> None:
        self.id = str(uuid.uuid4())
        self.env = env
        self.attached = False


class Healthy:
    """The server. `capacity` sessions at a time; a `token` if one is wanted; `mode` simulation or production."""

    channel = Channel
    action_model: type[BaseModel] = Action
    observation_model: type[BaseModel] = Observation
    state_model: type[BaseModel] = State
    capacity = 4
    env_name = "counter"
    token: str | None = None
    mode = "simulation"
    paths: Any = ("/ws",)
    going_away = 1012
    package: dict[str, Any] | None = None
    also: tuple[str, ...] = ()
    """Addresses beside 127.0.0.1 on which it listens."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sessions: dict[str, Session] = {}
        self.said: list[str] = []
        """What defects remember."""

    # The environment

    def build(self) -> Any:
        """A new environment."""
        return Counter()

    def start(self) -> Session:
        """A new session. Raises `Ending` beyond the capacity."""
        with self.lock:
            active = len(self.sessions)
            if active >= self.capacity:
                raise Ending(self.full(active))
            session = Session(self.build())
            self.sessions[session.id] = session
            return session

    def full(self, active: int) -> Frame:
        """What a session beyond the capacity is refused with."""
        message = f"Server at capacity: {active}/{self.capacity} sessions active. Cannot accept new connections."
        return error("CAPACITY_REACHED", message, active_sessions=active, max_sessions=self.capacity)

    def end(self, session: Session) -> None:
        """Close a session's environment and free its place."""
        with self.lock:
            known = self.sessions.pop(session.id, None)
        if known is not None:
            session.env.close()

    # WebSocket

    def upgrade(self, request: Request) -> Response | str | None:
        """Accept or refuse a handshake."""
        if request.path not in self.paths:
            return Response(403, headers={"Content-Type": "text/plain"})
        return self.guard(request)

    def session(self, channel: Channel) -> None:
        """Serve a WebSocket."""
        session = None
        try:
            session = self.admit(channel)
            self.greet(channel, session)
            self.serve(channel, session)
        except Ending as exc:
            self.say(channel, session, None, exc.frame)
            self.shut(channel, exc.frame)
        except Gone:
            pass
        finally:
            if session is not None:
                self.leave(session)

    def admit(self, channel: Channel) -> Session:
        """The session of a new connection. Raises `Ending` where it is refused."""
        wanted = channel.request.query.get("session_id")
        if wanted:
            return self.attach(wanted)
        return self.start()

    def attach(self, wanted: str) -> Session:
        """The session of an id. Raises `Ending`."""
        raise Ending(error("SESSION_ERROR", f"Unknown session_id: {wanted}"))

    def leave(self, session: Session) -> None:
        """The socket of a session is gone."""
        self.end(session)

    def greet(self, channel: Channel, session: Session) -> None:
        """Say nothing."""

    def serve(self, channel: Channel, session: Session) -> None:
        """Answer frames until a `close`."""
        while True:
            payload, text = self.listen(channel, session)
            request = parse(payload, text)
            try:
                reply = self.answer(session, payload, text)
            except SystemExit as exc:
                raise Ending(error("SESSION_ERROR", f"the environment ended with code {exc.code}")) from None
            if reply is None:
                self.shut(channel, None)
                return
            self.say(channel, session, request, reply)

    def listen(self, channel: Channel, session: Session) -> tuple[bytes, bool]:
        """The next message of a session and whether it is text. Raises `Gone` or `Ending`."""
        return channel.receive()

    def say(self, channel: Channel, session: Session | None, request: Any, reply: Frame) -> None:
        """Send a reply; `request` is the frame that it answers, None for a refusal."""
        altered = self.alter_reply(session, request, reply)
        try:
            text = self.encode(altered)
        except ValueError as exc:  # a lone surrogate came back
            text = self.encode(error("EXECUTION_ERROR", f"the reply cannot be carried: {exc}"))
        channel.send(self.alter_text(session, request, text))

    def shut(self, channel: Channel, after: Frame | None) -> None:
        """Close, after an error frame or a `close` frame (None)."""
        channel.close(1000)

    def alter_reply(self, session: Session | None, request: Any, reply: Frame) -> Frame:
        """Where defects change replies."""
        return reply

    def alter_text(self, session: Session | None, request: Any, text: str) -> str:
        """Where defects change what is written."""
        return text

    def encode(self, frame: Frame) -> str:
        """Compact JSON; floats that are not finite are null."""
        return to_json(frame, inf_nan_mode="null").decode()

    # Frames

    def answer(self, session: Session, payload: bytes, text: bool) -> Frame | None:
        """The reply to a message; None for a `close`."""
        try:
            frame = self.read(payload, text)
            return self.dispatch(session, frame)
        except Invalid as exc:
            return error("VALIDATION_ERROR", "Invalid message", errors=exc.errors)
        except Rejected as exc:
            return exc.frame

    def read(self, payload: bytes, text: bool) -> Frame:
        """The frame of a message. Raises `Rejected` or `Invalid`."""
        if not text:
            raise Rejected(error("INVALID_JSON", "Invalid JSON: binary frames are not part of this session"))
        try:
            frame = json.loads(payload)
        except ValueError as exc:
            raise Rejected(error("INVALID_JSON", f"Invalid JSON: {exc}")) from None
        if not isinstance(frame, dict):
            raise Invalid([entry("dict_type", [], "Input should be a valid dictionary", frame)])
        return frame

    def dispatch(self, session: Session, frame: Frame) -> Frame | None:
        """Run a frame."""
        known = {"reset": self.on_reset, "step": self.on_step, "state": self.on_state, "mcp": self.on_mcp}
        kind = frame.get("type")
        if kind == "close":
            self.forbid_extra(frame, "type")
            return None
        if not isinstance(kind, str) or kind not in known:
            raise Rejected(error("UNKNOWN_TYPE", f"Unknown message type: {frame.get('type', '')}"))
        reply: Frame = known[kind](session, frame)
        return reply

    def on_reset(self, session: Session, frame: Frame) -> Frame:
        """Reset the environment."""
        self.forbid_extra(frame, "type", "data")
        arguments = self.object_data(frame) if "data" in frame else {}
        return self.observe(lambda: session.env.reset(**arguments))

    def on_step(self, session: Session, frame: Frame) -> Frame:
        """Step the environment."""
        self.forbid_extra(frame, "type", "data")
        action = self.action(self.object_data(frame))
        return self.observe(lambda: session.env.step(action))

    def on_state(self, session: Session, frame: Frame) -> Frame:
        """The environment's state."""
        self.forbid_extra(frame, "type")
        return {"type": "state", "data": dict(session.env.state)}

    def on_mcp(self, session: Session, frame: Frame) -> Frame:
        """A JSON-RPC request inside the session."""
        self.forbid_extra(frame, "type", "data")
        return {"type": "mcp", "data": self.rpc(self.object_data(frame), session)}

    def observe(self, call: Any) -> Frame:
        """Run the environment and turn what it returns, or raises, into a frame."""
        try:
            frame = {"type": "observation", "data": call()}
        except Exception as exc:
            return error("EXECUTION_ERROR", str(exc))
        try:
            self.encode(frame)
        except Exception:
            return error("EXECUTION_ERROR", "payload: an object cannot be carried; the step ran")
        return frame

    def action(self, data: Frame) -> Frame:
        """A validated action. Raises `Invalid`."""
        action: Frame = self.validated(self.action_model, data).model_dump(exclude_unset=True)
        return action

    def validated(self, model: type[BaseModel], data: Any) -> Any:
        """An instance of a model. Raises `Invalid`."""
        try:
            return model.model_validate(data)
        except ValidationError as exc:
            raise Invalid(json.loads(exc.json())) from None

    def forbid_extra(self, frame: Frame, *known: str) -> None:
        """Raise `Invalid` for further top-level keys."""
        extra = [key for key in frame if key not in known]
        if extra:
            raise Invalid(
                [entry("extra_forbidden", [key], "Extra inputs are not permitted", frame[key]) for key in extra]
            )

    def object_data(self, frame: Frame) -> Frame:
        """The object `data`. Raises `Invalid`."""
        if "data" not in frame:
            raise Invalid([entry("missing", ["data"], "Field required", frame)])
        if not isinstance(frame["data"], dict):
            raise Invalid([entry("dict_type", ["data"], "Input should be a valid dictionary", frame["data"])])
        return dict(frame["data"])

    # JSON-RPC; the counter has no tools

    def rpc(self, request: Any, session: Session | None) -> Frame:
        """The response to a JSON-RPC request; `session` is that of a WebSocket."""
        if not self.is_request(request):
            return rpc_error(None, -32600, "Invalid request")
        try:
            result = self.rpc_result(request["method"], request.get("params", {}), session)
        except RpcError as exc:
            return rpc_error(request.get("id"), exc.code, str(exc), exc.data)
        return {"jsonrpc": "2.0", "id": request.get("id"), "result": result}

    def is_request(self, request: Frame) -> bool:
        """Whether an object is a JSON-RPC request."""
        return (
            request.get("jsonrpc") == "2.0"
            and isinstance(request.get("method"), str)
            and isinstance(request.get("params", {}), dict)
            and isinstance(request.get("id"), (str, int, type(None)))
            and not request.keys() - {"jsonrpc", "id", "method", "params"}
        )

    def rpc_result(self, method: str, params: Frame, session: Session | None) -> Any:
        """The result of a method. Raises `RpcError`."""
        match method:
            case "tools/call" if "name" not in params:
                raise RpcError(-32602, "Missing 'name' in params")
            case "tools/list" | "tools/call":
                raise RpcError(-32603, "Environment does not support MCP")
            case "openenv/session/create" if session is not None:
                return {"session_id": session.id}
        raise RpcError(-32601, f"Method not found: {method}")

    # HTTP

    def respond(self, request: Request) -> Response:
        """Answer an HTTP request."""
        return self.alter_response(request, self.route(request))

    def alter_response(self, request: Request, response: Response) -> Response:
        """Where defects change responses."""
        return response

    def guard(self, request: Request) -> Response | None:
        """Refuse foreign web pages, and clients without the token."""
        if request.path != "/health" and self.token and not self.authorized(request):
            return Response(401, b"{}", {"WWW-Authenticate": "Bearer", "Content-Type": "application/json"})
        origin = request.headers.get("origin")
        guarded = request.method == "POST" or "upgrade" in request.headers
        if guarded and origin is not None and not self.is_own(origin, request.headers.get("host", "")):
            return json_response(403, {"detail": f"Origin {origin} is not allowed"})
        return None

    def is_own(self, origin: str, host: str) -> bool:
        """Whether an Origin is that of the server's own pages, which it serves on loopback alone."""
        return origin == f"http://{host}" and urlsplit(origin).hostname in LOOPBACK

    def authorized(self, request: Request) -> bool:
        """Whether a request carries the token."""
        return request.headers.get("authorization") == f"Bearer {self.token}"

    def route(self, request: Request) -> Response:
        """Find the route and run it."""
        refused = self.guard(request)
        if refused is not None:
            return refused
        routes = self.routes()
        handlers = routes.get(request.path)
        if handlers is None and request.path.count("/") == 2:
            handlers = self.task_routes(request.path)
        if handlers is None:
            return json_response(404, {"detail": "Not Found"})
        handler = handlers.get(request.method)
        if handler is None:
            return json_response(405, {"detail": "Method Not Allowed"})
        try:
            response: Response = handler(request)
            return response
        except Invalid as exc:
            return json_response(422, {"detail": exc.errors})
        except Exception:
            return Response(500, b"Internal Server Error", {"Content-Type": "text/plain; charset=utf-8"})

    def routes(self) -> dict[str, dict[str, Any]]:
        """Handlers by path and method."""
        routes: dict[str, dict[str, Any]] = {
            "/health": {"GET": lambda request: Response(200, b'{"status":"healthy"}', JSON)},
            "/metadata": {"GET": lambda request: json_response(200, self.metadata())},
            "/schema": {"GET": lambda request: json_response(200, self.schema())},
            "/openapi.json": {"GET": lambda request: json_response(200, self.openapi())},
            "/mcp": {"POST": self.post_mcp},
            "/list_environments": {"GET": lambda request: json_response(200, [self.env_name])},
        }
        if self.mode == "simulation":
            routes |= {
                "/reset": {"POST": self.post_reset},
                "/step": {"POST": self.post_step},
                "/state": {"GET": lambda request: json_response(200, dict(self.build().state))},
            }
        return routes

    def metadata(self) -> Frame:
        """The body of `/metadata`."""
        keys = ("readme_content", "version", "author", "documentation_url")
        return {"name": "Counter", "description": "Counts.", **dict.fromkeys(keys)}

    def schema(self) -> Frame:
        """The body of `/schema`."""
        observation = self.observation_model.model_json_schema()
        return {
            "action": self.action_model.model_json_schema(),
            "observation": observation,
            "state": self.state_model.model_json_schema(),
            "reset_observation": observation,
        }

    def openapi(self) -> Frame:
        """The body of `/openapi.json`."""
        routes = [(path, method) for path, handlers in self.routes().items() for method in handlers]
        tasks = [(f"/{{env_name}}/{route}", method) for route, (method, _) in TASK_ROUTES.items()]
        return openapi.document([*routes, *tasks])

    def post_reset(self, request: Request) -> Response:
        """Reset a new environment."""
        body = self.validated_body(ResetBody, request, empty=True)
        return json_response(200, flat(self.build().reset(**body)))

    def post_step(self, request: Request) -> Response:
        """Step a new environment."""
        body = self.validated_body(StepBody, request)
        env = self.build()
        return json_response(200, flat(env.step(self.action(body["action"]))))

    def validated_body(self, model: type[BaseModel], request: Request, *, empty: bool = False) -> Frame:
        """The body as the fields that were given. Raises `Invalid`."""
        if empty and not request.body:
            return {}
        try:
            data = json.loads(request.body)
        except ValueError as exc:
            raise Invalid([entry("json_invalid", ["body", 0], f"JSON decode error: {exc}", {})]) from None
        try:
            body: Frame = self.validated(model, data).model_dump(exclude_unset=True)
            return body
        except Invalid as exc:
            raise Invalid([{**it, "loc": ["body", *it["loc"]]} for it in exc.errors]) from None

    def post_mcp(self, request: Request) -> Response:
        """One JSON-RPC request without a session."""
        try:
            data = json.loads(request.body)
        except ValueError:
            data = None
        return json_response(
            200, self.rpc(data, None) if isinstance(data, dict) else rpc_error(None, -32700, "Parse error")
        )

    def task_routes(self, path: str) -> dict[str, Any] | None:
        """Handlers of `/{env_name}/...`."""
        name, _, route = path[1:].partition("/")
        if route not in TASK_ROUTES:
            return None
        return {TASK_ROUTES[route][0]: lambda request: self.task_api(name, route, request)}

    def task_api(self, name: str, route: str, request: Request) -> Response:
        """Answer a route of the Task API; the counter has no tasks."""
        if name.lower() != self.env_name:
            return json_response(404, {"detail": f"unknown environment '{name}'"})
        return json_response(501, {"detail": f"{TASK_ROUTES[route][1]} is not supported for this environment"})


class Production(Healthy):
    """The server in production mode: no stateless routes."""

    mode = "production"


class RpcError(Exception):
    """A JSON-RPC request that is answered with an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class Rejected(Exception):
    """A message that is answered with an error frame."""

    def __init__(self, frame: Frame) -> None:
        super().__init__("rejected")
        self.frame = frame


JSON = {"Content-Type": "application/json"}
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def parse(payload: bytes, text: bool) -> Any:
    """The JSON of a message, None where it is none."""
    try:
        return json.loads(payload) if text else None
    except ValueError:
        return None


def error(code: str, message: str, **more: Any) -> Frame:
    """An error frame."""
    return {"type": "error", "data": {"message": message, "code": code, **more}}


def rpc_error(id: Any, code: int, message: str, data: Any = None) -> Frame:
    """A JSON-RPC error."""
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message, "data": data}}


def entry(type: str, loc: list[Any], message: str, value: Any) -> dict[str, Any]:
    """An entry of `errors`."""
    return {"type": type, "loc": loc, "msg": message, "input": value}


def json_response(status: int, document: Any) -> Response:
    """A JSON response."""
    return Response(status, to_json(document, inf_nan_mode="null"), JSON)


def flat(data: Frame) -> Frame:
    """The HTTP form of the data of an observation frame."""
    return {**data, "metadata": data.get("metadata")}
