"""The HTTP routes that build an environment, ask it one thing, and close it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import to_json

from interop.environment import Environment, RawJSON, Source, StepResult, Tasks
from interop.errors import InvalidAction
from interop.protocol.codecs import JsonCodec
from interop.server.session import Session

Reply = tuple[int, bytes]
"""HTTP status and body; a 500 has the official server's plain text."""

FAILED: Reply = (500, b"Internal Server Error")


def call(source: Source, operation: str, arguments: Mapping[str, Any]) -> Reply:
    """Answer one request: `reset`, `step`, `state`, or a method of the Task API."""
    try:
        if operation == "mcp":
            return _rpc(source, arguments["request"])
        if operation in ("reset", "step", "state"):
            return _with_environment(source, operation, arguments)
        return _task_call(source, operation, arguments)
    except InvalidAction as exc:
        return _invalid(exc.errors)
    except Exception:
        return FAILED


def _with_environment(source: Source, operation: str, arguments: Mapping[str, Any]) -> Reply:
    environment = source.create()
    try:
        if operation == "state":
            state = environment.plain_state(environment.state())
            return 200, state.text if isinstance(state, RawJSON) else to_json(state, inf_nan_mode="null")
        return 200, _encode(environment.plain(_act(environment, operation, arguments)))
    finally:
        environment.close()


def _rpc(source: Source, request: Any) -> Reply:
    session = Session(source, JsonCodec())
    if session.open() is not None:
        return FAILED
    try:
        reply = session.handle(to_json({"type": "mcp", "data": request}), text=True)
        return 200, to_json(json.loads(reply or b"{}")["data"])
    finally:
        session.close()


def _act(environment: Environment, operation: str, arguments: Mapping[str, Any]) -> StepResult:
    if operation == "reset":
        return environment.reset(**environment.native_options(arguments))
    options = dict(arguments)
    return environment.step(environment.native_action(options.pop("action")), **options)


def _encode(result: StepResult) -> bytes:
    observation = result.observation
    text = observation.text if isinstance(observation, RawJSON) else to_json(observation, inf_nan_mode="null")
    # The official reply model makes a float of every reward, and sends null for no metadata.
    reward = None if result.reward is None else float(result.reward)
    return b'{"observation":%b,"reward":%b,"done":%b,"metadata":%b}' % (
        text,
        to_json(reward, inf_nan_mode="null"),
        to_json(bool(result.done)),
        to_json(result.metadata or None, inf_nan_mode="null"),
    )


def _task_call(source: Source, operation: str, arguments: Mapping[str, Any]) -> Reply:
    tasks = source.tasks()
    name, answer = _TASKS[operation]
    try:
        if tasks is None:
            raise NotImplementedError
        return 200, to_json(answer(tasks, arguments), inf_nan_mode="null")
    except NotImplementedError:
        return 501, to_json({"detail": f"{name} is not supported for this environment"})
    except IndexError:
        return 400, to_json({"detail": "Invalid task index"})


def _split(split: Any) -> Any:
    if not isinstance(split, str):
        return split
    return {"name": split, "type": split if split in ("train", "validation", "test") else "validation"}


_TASKS: dict[str, tuple[str, Callable[[Tasks, Mapping[str, Any]], Any]]] = {
    "splits": ("list_splits", lambda tasks, _: [_split(split) for split in tasks.splits()]),
    "tasks": ("list_tasks", lambda tasks, a: {"tasks": tasks.tasks(a["split"]), "env_name": a["env_name"]}),
    "num_tasks": ("num_tasks", lambda tasks, a: {"num_tasks": tasks.num_tasks(a["split"])}),
    "task": ("get_task", lambda tasks, a: {"task": tasks.task(a["split"], a["index"])}),
    "task_range": (
        "get_task_range",
        lambda tasks, a: {"tasks": tasks.task_range(a["split"], a.get("start"), a.get("stop"))},
    ),
}


def _invalid(errors: list[Any]) -> Reply:
    return 422, to_json({"detail": errors}, inf_nan_mode="null")
