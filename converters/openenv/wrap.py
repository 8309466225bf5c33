"""`openenv:` sources: official OpenEnv environments, served by this server with openenv's own logic run inside."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from converters.openenv.capture import ACCEPTED, Served, choose, load, load_package, require_openenv
from converters.openenv.classes import server_arguments
from interop.environment import Description, Environment, Source, StepResult, Tasks
from interop.errors import InvalidAction, SourceError
from interop.protocol.frames import error_list


def wrap(target: str, **options: str) -> Source:
    """The source of an official environment.

    Args:
        target: `module:Class`, `module:app` (what `create_app` returned), or the directory of a package.
        options: Arguments of the environment's constructor or factory; read as JSON where they are JSON.

    Raises:
        SourceError: It cannot be imported, or does not say what to serve.
    """
    require_openenv()
    directory = Path(target)
    if directory.is_dir():
        target = str(directory.resolve())
        served = load_package(directory)
    elif ":" in target:
        served = _named(target)
    else:
        raise SourceError(f"{target!r} is no OpenEnv environment. Accepted are {ACCEPTED}.")
    return OpenEnvSource(served, target, options)


def _named(target: str) -> Served:
    module, _, attribute = target.rpartition(":")
    # The current directory, as uvicorn has it.
    try:
        found, served = load(module, attribute, Path.cwd())
    except (ImportError, AttributeError) as exc:
        raise SourceError(f"openenv:{target} cannot be imported: {exc}. Accepted are {ACCEPTED}.") from exc
    if not (inspect.isclass(found) and callable(getattr(found, "reset", None))):
        return choose(found, served, target)
    from openenv.core.env_server.http_server import HTTPEnvServer

    known = inspect.signature(HTTPEnvServer).parameters
    arguments = {key: value for key, value in server_arguments(found).items() if key in known}
    return Served(HTTPEnvServer(found, **arguments))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class OpenEnvSource(Source):
    """An official environment, by the official server object that would have served it."""

    def __init__(self, served: Served, target: str, options: Mapping[str, str]) -> None:
        self._named = functools.partial(wrap, target, **options)
        self._served = served
        self._server = served.server
        self._factory: Callable[[], Any] = self._server._env_factory
        if options:
            self._factory = functools.partial(self._factory, **{key: _value(text) for key, text in options.items()})

    def __reduce__(self) -> tuple[Callable[[], Source], tuple[()]]:
        # A worker process imports the environment anew: the official server object holds locks.
        return self._named, ()

    def describe(self) -> Description:
        return self._description

    @functools.cached_property
    def _description(self) -> Description:
        from openenv.core.env_server.types import State

        server = self._server
        metadata, cls = self._look()
        reset_observation = getattr(server, "reset_observation_cls", server.observation_cls)
        return Description(
            name=metadata.name,
            env_name=getattr(server, "env_name", None) or cls.__name__,
            factory_name=getattr(self._factory, "__name__", cls.__name__),
            description=metadata.description,
            version=metadata.version,
            author=metadata.author,
            documentation_url=metadata.documentation_url,
            readme_content=metadata.readme_content,
            action=server.action_cls.model_json_schema(),
            observation=server.observation_cls.model_json_schema(),
            state=getattr(server, "state_cls", State).model_json_schema(),
            reset_observation=reset_observation.model_json_schema(),
            max_sessions=self._served.asked if _concurrent(cls) else 1,
        )

    def _look(self) -> tuple[Any, type]:
        """The environment's metadata and class; an environment is built only where there is no other way."""
        from openenv.core.env_server.interfaces import Environment as Official

        factory = self._factory
        cls: Any = factory.func if isinstance(factory, functools.partial) else factory
        try:
            method = getattr(cls, "get_metadata", None)
            if inspect.isclass(cls) and not _overridden(method, Official.get_metadata):
                return Official.get_metadata(object.__new__(cls)), cls  # the default asks for the class alone
            environment = factory()
            try:
                return environment.get_metadata(), type(environment)
            finally:
                environment.close()
        except Exception as exc:
            name = getattr(cls, "__qualname__", cls)
            raise SourceError(f"{name} cannot be described: {type(exc).__name__}: {exc}") from exc

    def create(self) -> OpenEnvEnvironment:
        return OpenEnvEnvironment(self._factory(), self._server)

    def tasks(self) -> Tasks:
        return OpenEnvTasks(self._factory)


def _concurrent(cls: type) -> bool:
    # The official server runs all sessions of REQUIRES_SINGLE_THREAD_EXECUTOR in one thread; here each has its own.
    return getattr(cls, "SUPPORTS_CONCURRENT_SESSIONS", False) and not getattr(
        cls, "REQUIRES_SINGLE_THREAD_EXECUTOR", False
    )


class OpenEnvEnvironment(Environment):
    """One official environment."""

    def __init__(self, environment: Any, server: Any) -> None:
        from openenv.core.env_server import interfaces, serialization

        official = interfaces.Environment
        self._environment = environment
        self._server = server
        self._serialization = serialization
        self._runner = asyncio.Runner()
        self._mcp: contextlib.AsyncExitStack | None = None
        self._reset_async = _overridden(environment.reset_async, official.reset_async)
        self._step_async = _overridden(environment.step_async, official.step_async)
        if callable(getattr(environment, "mcp_session", None)):
            try:
                self._runner.run(self._open_mcp())
            except BaseException:
                self.close()
                raise

    async def _open_mcp(self) -> None:
        # Held open for the session's length, as the official server does: a tool's state lives in it.
        self._mcp = contextlib.AsyncExitStack()
        await self._mcp.enter_async_context(self._environment.mcp_session())

    def reset(self, /, **options: Any) -> StepResult:
        method = self._environment.reset_async if self._reset_async else self._environment.reset
        return self._result(method(**self._accepted(method, options)), self._reset_async)

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        try:
            official = self._serialization.deserialize_action(action, self._server.action_cls)
        except ValidationError as exc:
            raise InvalidAction(str(exc), error_list(exc)) from exc
        method = self._environment.step_async if self._step_async else self._environment.step
        accepted = self._accepted(method, options, {"action"}) if options else {}
        return self._result(method(official, **accepted), self._step_async)

    def state(self) -> Mapping[str, Any]:
        state = self._environment.state
        data: Mapping[str, Any] = state.model_dump() if hasattr(state, "model_dump") else dict(state or {})
        return data

    def close(self) -> None:
        try:
            if self._mcp is not None:
                with contextlib.suppress(Exception):
                    self._runner.run(self._mcp.aclose())
            self._environment.close()
        finally:
            self._runner.close()

    def _accepted(self, method: Any, options: dict[str, Any], skip: set[str] | None = None) -> dict[str, Any]:
        accepted: dict[str, Any] = self._server._get_valid_kwargs(inspect.signature(method), options, skip)
        return accepted

    def _result(self, observation: Any, running: bool) -> StepResult:
        if running:
            observation = self._runner.run(observation)
        result = self._serialization.serialize_observation(observation)
        return StepResult(result["observation"], result["reward"], result["done"], result.get("metadata") or {})


def _overridden(method: Any, base: Any) -> bool:
    # openenv's own `overrides_method`, which 0.3 has not.
    return getattr(method, "__func__", method) is not base


class OpenEnvTasks(Tasks):
    """The Task API of an environment class: each call builds an environment, asks it, and closes it."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self._factory = factory

    def splits(self) -> list[Any]:
        return [_split(split) for split in self._ask("list_splits")]

    def tasks(self, split: str) -> list[Any]:
        return _plain(self._ask("list_tasks", split))  # type: ignore[no-any-return]

    def num_tasks(self, split: str) -> int:
        return self._ask("num_tasks", split)  # type: ignore[no-any-return]

    def task(self, split: str, index: int) -> Any:
        return _plain(self._ask("get_task", split, index))

    def task_range(self, split: str, start: int | None, stop: int | None) -> list[Any]:
        return _plain(self._ask("get_task_range", split, start, stop))  # type: ignore[no-any-return]

    def _ask(self, name: str, *args: Any) -> Any:
        environment = self._factory()
        try:
            method = getattr(environment, name, None)
            if not callable(method):
                raise NotImplementedError(name)
            answer = method(*args)
            return asyncio.run(_awaited(answer)) if inspect.isawaitable(answer) else answer
        finally:
            environment.close()


async def _awaited(answer: Any) -> Any:
    return await answer


def _plain(value: Any) -> Any:
    from openenv.core.env_server.http_server import _make_json_serializable

    return _make_json_serializable(value)


def _split(split: Any) -> Any:
    if isinstance(split, str):
        return split
    if hasattr(split, "model_dump"):
        return split.model_dump()
    return _plain(split) if isinstance(split, dict) else {"name": str(split), "type": "validation"}
