"""Environments of the v0 API (0.1.11 to 0.3.1): verifiers' own rollout, whose client awaits the policy."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

try:  # 0.3.1 keeps it in verifiers.legacy
    import verifiers.legacy as vf
    import verifiers.legacy.types as vt
    from verifiers.legacy.clients import Client
except ImportError:
    import verifiers as vf
    import verifiers.types as vt
    from verifiers.clients import Client

from lane import Refused

MODEL = "policy"
TRUNCATED = {"max_turns_reached", "timeout_reached", "prompt_too_long", "max_total_completion_tokens_reached"}
"""Stop conditions that are limits, not ends."""
_errors: contextvars.ContextVar[list[str]] = contextvars.ContextVar("errors")
"""What the rubric has logged in the current rollout: a reward function that raises is logged and counts 0."""


class _Noted(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        noted = _errors.get(None)
        if noted is not None and ".rubrics." in record.name:
            noted.append(record.getMessage())


class PolicyClient(Client):
    """A client whose completions are the actions; `called` takes the calls that wait for one."""

    def __init__(self, called: Callable[[_Call], None]) -> None:
        super().__init__(object())
        self._called = called

    async def get_response(self, prompt: Any, model: str, sampling_args: Any, tools: Any = None, **more: Any) -> Any:
        """Wait for the policy."""
        call = _Call(_messages(prompt), tools or [], more.get("state"))
        self._called(call)
        return await call.response

    # What stands between that and a provider is not reached.

    def setup_client(self, config: Any) -> Any:
        return None

    async def to_native_tool(self, tool: Any) -> Any:
        raise NotImplementedError

    async def to_native_prompt(self, messages: Any) -> Any:
        raise NotImplementedError

    async def get_native_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def raise_from_native_response(self, response: Any) -> None:
        raise NotImplementedError

    async def from_native_response(self, response: Any) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        return None


class _Call:
    """A model call that waits for its completion."""

    def __init__(self, prompt: list[Any], tools: Sequence[Any], state: Any) -> None:
        self.prompt = prompt
        self.tools = tools
        self.state = state
        self.response: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class V0Lane:
    """One environment object, for all sessions.

    Raises:
        Refused: It has no tasks, or needs what this cannot give.
    """

    def __init__(self, name: str, env: Any) -> None:
        if not isinstance(env, vf.Environment):
            raise Refused(f"{name}: load_environment returned a {type(env).__name__}, no verifiers Environment")
        self.env = env
        self._name = name
        for one in _all(env):  # the time that a policy thinks is not the environment's
            if getattr(one, "timeout_seconds", None) is not None:
                one.timeout_seconds = None
        self._datasets = {"train": _dataset(env, "train"), "eval": _dataset(env, "eval")}
        self._datasets = {split: rows for split, rows in self._datasets.items() if rows is not None}
        if not self._datasets:
            raise Refused(f"{name} has neither a dataset nor an eval_dataset")
        logging.getLogger("verifiers").addHandler(_Noted(logging.ERROR))

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    def about(self) -> dict[str, Any]:
        return {
            "api": "v0",
            "name": self._name,
            "class": type(self.env).__name__,
            "splits": {split: len(rows) for split, rows in self._datasets.items()},
            "max_turns": getattr(self.env, "max_turns", None),
            "tools": [_dump(tool) for tool in getattr(self.env, "tool_defs", None) or []],
            "group": any(getattr(one, "requires_group_rollouts", False) for one in _all(self.env)),
            "weights": weights(self.env),
        }

    def row(self, split: str, index: int) -> dict[str, Any]:
        """One task with its private fields."""
        rows = self._datasets.get(split)
        if rows is None:
            raise Refused(f"there is no split {split!r}; accepted are {', '.join(self._datasets)}")
        if not 0 <= index < len(rows):
            raise Refused(f"there is no task {index} in split {split!r}, which has {len(rows)}")
        return dict(rows[index])

    def tasks(self, *, split: str, start: int, stop: int) -> list[dict[str, Any]]:
        return [_public(self.row(split, index), split, index) for index in range(start, stop)]

    def session(self) -> V0Session:
        return V0Session(self)


class V0Session:
    """One rollout after the other."""

    def __init__(self, lane: V0Lane) -> None:
        self._lane = lane
        self._rollout: asyncio.Task[Any] | None = None
        self._woken: asyncio.Future[None] | None = None

    async def reset(self, *, split: str, index: int) -> dict[str, Any]:
        row = self._lane.row(split, index)
        await self.close()
        env = self._lane.env
        self._inner = _inner(env, row)
        self._group = bool(getattr(self._inner, "requires_group_rollouts", False))
        self._calls: deque[_Call] = deque()
        self._ids: set[str] = set()
        client = PolicyClient(self._take)
        self._seen: list[Any] = []
        self._scoring: list[str] = []
        self._call: _Call | None = None
        sampling = dict(getattr(env, "sampling_args", None) or {})

        async def rollout() -> Any:
            _errors.set(self._scoring)
            if self._group:
                outputs = await env.run_group([row], client, MODEL, sampling)
                return outputs[0]
            return await env.run_rollout(row, client, MODEL, sampling)

        self._rollout = asyncio.create_task(rollout())
        self._rollout.add_done_callback(self._wake)
        turn = await self._next()
        return {**turn, "task": _public(row, split, index)}

    async def step(self, action: Mapping[str, Any]) -> dict[str, Any]:
        call, self._call = self._call, None
        assert call is not None, "the hub steps no rollout that is over"
        response = completion(action, self._ids)
        if not call.response.done():  # else the framework has given up
            call.response.set_result(response)
        return await self._next()

    async def close(self) -> None:
        rollout, self._rollout = self._rollout, None
        if rollout is not None and not rollout.done():
            rollout.cancel()
            with contextlib.suppress(BaseException):
                await rollout

    def _take(self, call: _Call) -> None:
        self._calls.append(call)
        self._wake()

    def _wake(self, _: object = None) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _next(self) -> dict[str, Any]:
        rollout = self._rollout
        assert rollout is not None
        while not self._calls and not rollout.done():
            self._woken = asyncio.get_running_loop().create_future()
            await self._woken
        if self._calls:
            return self._turn(self._calls.popleft())
        if rollout.cancelled():  # the session was closed meanwhile
            return _over(error="the rollout was cancelled")
        try:
            output = rollout.result()
        except Exception as exc:
            return _over(error=f"{type(exc).__name__}: {exc}")
        return self._end(output)

    def _turn(self, call: _Call) -> dict[str, Any]:
        self._call = call
        # Only what is new is dumped: a prompt grows with each turn.
        seen, new = len(self._seen), call.prompt
        rewritten = new[:seen] != self._seen
        if not rewritten:
            new = new[seen:]
            # The policy knows what it has just said.
            if seen and new and new[0]["role"] == "assistant":
                new = new[1:]
        self._seen = call.prompt
        info: dict[str, Any] = {"rewritten": True} if rewritten else {}
        trajectory = call.state.get("trajectory") if isinstance(call.state, Mapping) else None
        if trajectory and trajectory[-1].get("reward") is not None:
            info["turn_reward"] = trajectory[-1]["reward"]
        tools = [_dump(tool) for tool in call.tools]
        return {"messages": [_dump(message) for message in new], "tools": tools, "done": False, "info": info}

    def _end(self, output: Mapping[str, Any]) -> dict[str, Any]:
        messages = _plain(output.get("completion"))
        last = max((at for at, message in enumerate(messages) if message.get("role") == "assistant"), default=-1)
        stop = output.get("stop_condition")
        single = getattr(self._inner, "max_turns", None) == 1
        truncated = bool(output.get("is_truncated")) or (stop in TRUNCATED and not single)
        error = _error(output.get("error"))
        if error is None and self._scoring:
            error = "the rubric failed: " + "; ".join(self._scoring)
        if error is None and self._group:
            error = "the rubric scores groups of rollouts, and this was one alone"
        info = {"metrics": dict(output.get("metrics") or {}), "weights": weights(self._inner)}
        if output.get("token_usage"):
            info["usage"] = dict(output["token_usage"])
        return _over(
            messages=messages[last + 1 :],
            reward=None if error else output.get("reward"),
            truncated=truncated,
            stop=stop,
            error=error,
            info=info,
        )


def completion(action: Mapping[str, Any], ids: set[str]) -> Any:
    """The response of a model that says what the action says; a tool call whose id is taken gets another."""
    calls = []
    for call in action.get("tool_calls") or []:
        id = call.get("id")
        if id is None or id in ids:
            id = f"call_{uuid.uuid4().hex[:12]}"
        ids.add(id)
        arguments = call["arguments"] if isinstance(call["arguments"], str) else json.dumps(call["arguments"])
        calls.append(vt.ToolCall(id=id, name=call["name"], arguments=arguments))
    usage = action.get("usage")
    prompt, answer = (usage["prompt_tokens"], usage["completion_tokens"]) if usage else (0, 0)
    return vt.Response(
        id=f"policy-{uuid.uuid4().hex[:12]}",
        created=int(time.time()),
        model=MODEL,
        usage=usage
        and vt.Usage(prompt_tokens=prompt, completion_tokens=answer, reasoning_tokens=0, total_tokens=prompt + answer),
        message=vt.ResponseMessage(
            content=action.get("content"),
            tool_calls=calls or None,
            reasoning_content=action.get("reasoning"),
            finish_reason="tool_calls" if calls else "stop",
            is_truncated=False,
            tokens=None,
        ),
    )


def weights(env: Any) -> dict[str, float]:
    """The weight of each reward function, groups of environments and of rubrics flattened."""
    found: dict[str, float] = {}
    for one in _all(env):
        found.update(_weights(one.rubric))
    return found


def _weights(rubric: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for inner in getattr(rubric, "rubrics", None) or []:
        found.update(_weights(inner))
    for function, weight in zip(getattr(rubric, "funcs", []), getattr(rubric, "weights", []), strict=False):
        found[getattr(function, "__name__", str(function))] = float(weight)
    return found


def _all(env: Any) -> list[Any]:
    """The environment, or those of an EnvGroup."""
    group = getattr(env, "env_map", None)
    return [one for inner in group.values() for one in _all(inner)] if group else [env]


def _inner(env: Any, row: Mapping[str, Any]) -> Any:
    """The one of an EnvGroup that a task is for."""
    info = row.get("info") or {}
    info = json.loads(info) if isinstance(info, str) else info
    route = info.get("env_id") or row.get("task") or ()
    for name in (route,) if isinstance(route, str) else route:
        env = (getattr(env, "env_map", None) or {}).get(name, env)
    return env


def _over(
    *,
    messages: Sequence[Any] = (),
    reward: Any = None,
    truncated: bool = False,
    stop: str | None = None,
    error: str | None = None,
    info: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "messages": list(messages),
        "tools": [],
        "done": True,
        "reward": reward,
        "truncated": truncated,
        "stop": stop,
        "error": error,
        "info": info or {},
    }


def _dataset(env: Any, split: str) -> Any:
    """The rows of a split; None where the environment has none of its own."""
    build = getattr(env, "build_dataset" if split == "train" else "build_eval_dataset", None)
    if build is not None:
        build()
    name = "dataset" if split == "train" else "eval_dataset"
    return getattr(env, name, None)


def _public(row: Mapping[str, Any], split: str, index: int) -> dict[str, Any]:
    """What anybody may know of a task: not its answer, not its info, nor any other column."""
    return {"split": split, "index": index, "id": row.get("example_id", index), "prompt": _plain(row.get("prompt"))}


def _messages(messages: Any) -> list[Any]:
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages or [])


def _plain(messages: Any) -> list[dict[str, Any]]:
    return [_dump(message) for message in _messages(messages)]


def _dump(value: Any) -> dict[str, Any]:
    if hasattr(value, "model_dump"):
        return dict(value.model_dump(mode="json", exclude_none=True))
    return {key: item for key, item in dict(value).items() if item is not None}


def _error(error: Any) -> str | None:
    if not error:
        return None
    if isinstance(error, Mapping):
        return str(error.get("error_chain_repr") or error.get("message") or dict(error))
    return f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
