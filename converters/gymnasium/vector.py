"""OpenEnv → Gymnasium, vectors: many sub-environments over one connection, or one session each over many."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from converters.gymnasium.binding import Binding
from converters.gymnasium.expose import OpenEnvEnv
from converters.gymnasium.spaces import space_from_json
from interop.client import ClientOptions, Session
from interop.errors import InteropError, SessionLost
from interop.protocol.codecs import MSGPACK_V1
from interop.providers import Started, started
from interop.sources import is_url


class OpenEnvVectorEnv(VectorEnv[Any, Any, Any]):
    """A vector environment over one connection: one frame steps all sub-environments.

    The server runs Gymnasium's own vector environment: the native one where the environment has it, as
    `gymnasium.make_vec` does, else `SyncVectorEnv`. Needs a server of this project.

    Args:
        num_envs: Number of sub-environments, 1 to 4096.
        url: The server.
        autoreset_mode: Gymnasium's `AutoresetMode` or its value; a native vector environment has its own.
        vectorization: `sync`, `native`, or None for native where there is one.
        render_mode: One of the environment's render modes.
        options: Fields of `interop.ClientOptions`.

    Raises:
        ConnectError: No server answers there.
        InteropError: The server does not offer vector messages; use `interop.make_vec(url, ..., sessions=True)`.
    """

    def __init__(
        self,
        num_envs: int,
        url: str,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        vectorization: str | None = None,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        self._servers: list[Started] = []
        self.url = url
        self.render_mode = render_mode
        binding = Binding.of(url, ClientOptions(**options))
        self._session = Session(url, ClientOptions(**options))
        try:
            if self._session.codec != MSGPACK_V1:
                raise InteropError(
                    f"{url} does not offer vector messages; use interop.make_vec(url, {num_envs}, sessions=True)"
                )
            made = self._ask(
                "make",
                num_envs=num_envs,
                autoreset_mode=AutoresetMode(autoreset_mode).value,
                vectorization=vectorization,
                render_mode=render_mode,
            )
        except BaseException:
            self._session.close()
            raise
        self.num_envs = made["num_envs"]
        self.observation_space = space_from_json(made["observation_space"])
        self.action_space = space_from_json(made["action_space"])
        self.single_observation_space = space_from_json(made["single_observation_space"])
        self.single_action_space = space_from_json(made["single_action_space"])
        self.metadata = {**binding.metadata, "autoreset_mode": AutoresetMode(made["autoreset_mode"])}

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset all sub-environments, or those of `options["reset_mask"]`."""
        super().reset(seed=seed if isinstance(seed, int) else None)
        data = self._ask("reset", seed=seed, options=options)
        return data["obs"], data["infos"]

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all sub-environments."""
        self.send_step(actions)
        return self.receive_step()

    def send_step(self, actions: Any) -> None:
        """The first half of `step`, for code that waits for several servers together."""
        if not isinstance(actions, (np.ndarray, tuple, dict)):
            actions = np.asarray(actions, dtype=self.action_space.dtype)
        self._send({"op": "step", "actions": actions})

    def receive_step(self) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """The second half of `step`."""
        data = self._receive()
        return data["obs"], data["rewards"], data["terminated"], data["truncated"], data["infos"]

    def render(self) -> Any:
        """The frames of all sub-environments."""
        return self._ask("render")["frames"]

    def close_extras(self, **kwargs: Any) -> None:
        """End the session."""
        self._session.close()
        _stop(self._servers)

    def _ask(self, op: str, **arguments: Any) -> Any:
        self._send({"op": op, **arguments})
        return self._receive()

    def _send(self, data: dict[str, Any]) -> None:
        try:
            self._session.send("vector", data)
        except SessionLost as exc:
            self._explain(exc)
            raise

    def _receive(self) -> Any:
        try:
            return self._session.receive()
        except SessionLost as exc:
            self._explain(exc)
            raise

    def _explain(self, exc: SessionLost) -> None:
        """Raise again with what became of the server, where it is this environment's own."""
        for server in self._servers:
            if why := server.ended():
                raise SessionLost(f"{exc}; {why}") from exc


class SessionsVectorEnv(SyncVectorEnv):
    """A vector environment of one session per sub-environment, on any OpenEnv server or on several.

    Requests go out to all servers before the first reply is waited for. Gymnasium's `SyncVectorEnv` does the rest:
    batching, infos, and the three autoreset modes.

    Args:
        urls: The server of each sub-environment.
        autoreset_mode: Gymnasium's `AutoresetMode` or its value.
        kwargs: Arguments of `OpenEnvEnv`.
    """

    def __init__(
        self, urls: Sequence[str], *, autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP, **kwargs: Any
    ) -> None:
        self._servers: list[Started] = []
        super().__init__(
            [lambda url=url: _Prefetch(OpenEnvEnv(url, **kwargs)) for url in urls],  # type: ignore[misc]
            autoreset_mode=AutoresetMode(autoreset_mode),
        )
        for number, env in enumerate(self.envs):
            assert isinstance(env.unwrapped, OpenEnvEnv)
            env.unwrapped._about = partial(self._became, number)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all sub-environments."""
        batch = list(gymnasium.vector.utils.iterate(self.action_space, actions))
        resets = self._autoreset_envs if self.autoreset_mode is AutoresetMode.NEXT_STEP else [False] * self.num_envs
        try:
            for env, action, reset in zip(self.envs, batch, resets, strict=True):
                assert isinstance(env, _Prefetch)
                env.prefetch(None if reset else action)
            return super().step(actions)
        except Exception:
            for env in self.envs:
                env.discard()  # type: ignore[attr-defined]
            raise

    def _became(self, number: int) -> str:
        """What is known of a sub-environment whose session is lost."""
        why = self._servers[number % len(self._servers)].ended() if self._servers else ""
        return f"it was that of sub-environment {number}{'; ' if why else ''}{why}"

    def close_extras(self, **kwargs: Any) -> None:
        """End all sessions."""
        super().close_extras(**kwargs)
        _stop(self._servers)


class _Prefetch(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Sends a request before `step` or `reset` asks for its reply."""

    def __init__(self, env: OpenEnvEnv) -> None:
        super().__init__(env)
        self._remote = env
        self._sent: str | None = None

    def prefetch(self, action: Any) -> None:
        """Send the step of an action, or a plain reset for None."""
        self.discard()
        if action is None:
            self._remote.send_reset()
        else:
            self._remote.send_step(action)
        self._sent = "reset" if action is None else "step"

    def discard(self) -> None:
        """Take a reply that nobody has asked for, so that it is not taken for another's."""
        sent, self._sent = self._sent, None
        if sent is not None:
            with contextlib.suppress(InteropError):
                self._remote.session.receive()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if self._sent == "reset" and seed is None and options is None:
            self._sent = None
            return self._remote.receive_reset()
        self.discard()
        return self._remote.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if self._sent == "step":
            self._sent = None
            return self._remote.receive_step()
        return self._remote.step(action)


def make_vec(
    source: Any, num_envs: int = 1, *, sessions: bool | None = None, servers: int = 1, **kwargs: Any
) -> OpenEnvVectorEnv | SessionsVectorEnv:
    """A vector environment of a server, of several, or of an image or anything that can be served.

    Args:
        source: A URL, a list of URLs over which the sub-environments are spread, or what `interop.make` takes.
        num_envs: Number of sub-environments.
        sessions: Whether each sub-environment has a session of its own; by default only where the server offers no
            vector messages, or where there are several servers.
        servers: How many servers are started for this, over which the sub-environments are spread: of an image, one
            container for all of them by default, and with `servers=num_envs` one for each.
        kwargs: Arguments of `OpenEnvVectorEnv` or of `SessionsVectorEnv`.

    Raises:
        ValueError: `servers` is not from 1 to `num_envs`, or the servers are there already.
    """
    there = source if isinstance(source, (list, tuple)) else [source] if _is_address(source) else None
    if not 1 <= servers <= num_envs or (there is not None and servers != 1):
        raise ValueError(
            f"servers={servers}; accepted are 1 to num_envs={num_envs}, and 1 alone for servers that run already"
        )
    own: list[Started] = []
    try:
        if there is None:
            own.extend(started(source) for _ in range(servers))  # one by one: what follows ends them if one fails
        env = _vector(
            there or [server.url for server in own], num_envs, sessions, isinstance(source, (list, tuple)), kwargs
        )
    except BaseException:
        _stop(own)
        raise
    env._servers = own
    return env


def _vector(
    urls: Sequence[str], num_envs: int, sessions: bool | None, listed: bool, kwargs: dict[str, Any]
) -> OpenEnvVectorEnv | SessionsVectorEnv:
    if sessions is None:
        sessions = listed or len(urls) > 1 or not _offers_vectors(urls[0], kwargs)
    if not sessions:
        return OpenEnvVectorEnv(num_envs, urls[0], **kwargs)
    return SessionsVectorEnv([urls[i % len(urls)] for i in range(num_envs)], **kwargs)


def _is_address(source: Any) -> bool:
    return isinstance(source, str) and is_url(source)


def _stop(servers: list[Started]) -> None:
    while servers:
        servers.pop().stop()


def _offers_vectors(url: str, kwargs: dict[str, Any]) -> bool:
    overrides = {"spaces", "encode_action", "decode_observation", "text"} & kwargs.keys()
    fields = ClientOptions.__dataclass_fields__
    options = ClientOptions(**{key: value for key, value in kwargs.items() if key in fields})
    return not overrides and options.binary and Binding.of(url, options).vector
