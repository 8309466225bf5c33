"""The HTTP routes: health, descriptions, and the stateless reset, step and state (`docs/protocol.md`, HTTP)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from interop.environment import Description
from interop.server.calls import Calls
from interop.server.connection import authorized, origin_allowed
from interop.server.handles import Handles
from interop.server.hosted import Hosts
from interop.server.mcp import Mcp
from interop.server.runner import Runner
from interop.server.settings import Settings
from interop.server.stateless import FAILED

TITLE = "OpenEnv Environment HTTP API"


class ResetRequest(BaseModel):
    """Arguments of a reset; further keys go to the environment."""

    model_config = ConfigDict(extra="allow")

    seed: Annotated[int | None, Field(default=None, ge=0)]
    episode_id: Annotated[str | None, Field(default=None, max_length=255)]


class StepRequest(BaseModel):
    """An action; further keys go to the environment."""

    model_config = ConfigDict(extra="allow")

    action: dict[str, Any]
    timeout_s: Annotated[float | None, Field(default=None, gt=0)]
    request_id: Annotated[str | None, Field(default=None, max_length=255)]


class SplitRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    split: str


class TaskRequest(SplitRequest):
    index: int


class RangeRequest(SplitRequest):
    start: int | None = None
    stop: int | None = None


def build_app(runner: Runner, hosts: Hosts, description: Description, settings: Settings, max_sessions: int) -> FastAPI:
    """The application of one server, which allows so many sessions."""
    app = FastAPI(title=TITLE, version="1.0.0", description=description.description)
    calls = Calls(runner, settings.step_timeout)
    _guard(app, settings)
    _describe(app, description, settings, max_sessions)
    door = Mcp(hosts, calls, description, settings)
    app.post("/mcp", openapi_extra=_body({"type": "object"}))(door.post)
    app.delete("/mcp", include_in_schema=False)(door.delete)
    Handles(hosts, door, settings).add(app)
    if settings.mode == "simulation":
        _simulate(app, calls, description)
    _tasks(app, calls, description)
    return app


def _guard(app: FastAPI, settings: Settings) -> None:
    @app.middleware("http")
    async def guard(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        headers = request.headers
        path = request.url.path
        own = path == "/health" or (path.startswith("/sessions/") and path.endswith("/mcp"))  # has a token of its own
        if not own and not authorized(headers.get("authorization"), settings.token):
            challenge = {"WWW-Authenticate": "Bearer"}
            return JSONResponse({"detail": "Authorization: Bearer <token> is needed"}, 401, challenge)
        if not origin_allowed(headers.get("origin"), headers.get("host"), settings.origins):
            return JSONResponse({"detail": f"Origin {headers['origin']} is not allowed"}, 403)
        return await proceed(request)


def _describe(app: FastAPI, description: Description, settings: Settings, max_sessions: int) -> None:
    schema: dict[str, Any] = {
        "action": description.action,
        "observation": description.observation,
        "state": description.state,
        "reset_observation": description.reset_observation or description.observation,
    }

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.get("/metadata")
    async def metadata() -> dict[str, Any]:
        return description.metadata()

    @app.get("/schema")
    async def schemas() -> dict[str, Any]:
        return schema

    limits = {"max_message_bytes": settings.max_message_size, "max_sessions": max_sessions}
    for name, document in description.extensions.items():
        app.get(f"/{name}", name=name)(_constant({**document, "limits": limits}))


def _constant(document: dict[str, Any]) -> Callable[[], Awaitable[dict[str, Any]]]:
    async def get() -> dict[str, Any]:
        return document

    return get


def _simulate(app: FastAPI, calls: Calls, description: Description) -> None:
    result = {
        "type": "object",
        "properties": {
            "observation": _embedded(description.observation, without=("reward", "done")),
            "reward": {"type": ["number", "null"]},
            "done": {"type": "boolean"},
            "metadata": {"type": ["object", "null"]},
        },
        "required": ["observation", "reward", "done", "metadata"],
    }
    action = {"properties": {"action": _embedded(description.action)}, "required": ["action"], "type": "object"}

    @app.post("/reset", responses=_reply(result))
    async def reset(request: Annotated[ResetRequest, Body(default_factory=ResetRequest)]) -> Response:
        return await _call(calls, "reset", request.model_dump(exclude_unset=True))

    @app.post("/step", responses=_reply(result), openapi_extra=_body(action))
    async def step(request: StepRequest) -> Response:
        return await _call(calls, "step", request.model_dump(exclude_unset=True))

    @app.get("/state", responses=_reply(_embedded(description.state)))
    async def state() -> Response:
        return await _call(calls, "state", {})


def _tasks(app: FastAPI, calls: Calls, description: Description) -> None:
    name = description.env_name or description.name

    def known(env_name: str) -> str:
        if env_name.lower() != name.lower():
            raise HTTPException(404, f"unknown environment '{env_name}'")
        return name

    @app.get("/list_environments")
    async def list_environments() -> list[str]:
        return [name]

    @app.get("/{env_name:path}/splits")
    async def splits(env_name: str) -> Response:
        known(env_name)
        return await _call(calls, "splits", {})

    @app.post("/{env_name:path}/tasks")
    async def tasks(env_name: str, request: SplitRequest) -> Response:
        return await _call(calls, "tasks", {"env_name": known(env_name), **request.model_dump()})

    @app.post("/{env_name:path}/num_tasks")
    async def num_tasks(env_name: str, request: SplitRequest) -> Response:
        known(env_name)
        return await _call(calls, "num_tasks", request.model_dump())

    @app.post("/{env_name:path}/task")
    async def task(env_name: str, request: TaskRequest) -> Response:
        known(env_name)
        return await _call(calls, "task", request.model_dump())

    @app.post("/{env_name:path}/task_range")
    async def task_range(env_name: str, request: RangeRequest) -> Response:
        known(env_name)
        return await _call(calls, "task_range", request.model_dump())


async def _call(calls: Calls, operation: str, arguments: dict[str, Any]) -> Response:
    reply = await calls.call(operation, arguments)
    if reply == FAILED:
        return PlainTextResponse(FAILED[1], FAILED[0])
    return Response(reply[1], reply[0], media_type="application/json")


def _embedded(schema: Mapping[str, Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """A schema as a part of the OpenAPI document; one with references of its own only by its title."""
    if "$defs" in schema:
        return {"type": "object", "title": schema.get("title", "object"), "description": "See GET /schema."}
    parts = dict(schema)
    if "properties" in parts:
        parts["properties"] = {key: value for key, value in parts["properties"].items() if key not in without}
    if "required" in parts:
        parts["required"] = [key for key in parts["required"] if key not in without]
    return parts


def _reply(schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "Successful Response", "content": {"application/json": {"schema": schema}}}}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}
