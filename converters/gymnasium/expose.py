"""OpenEnv → Gymnasium: any OpenEnv server as a `gymnasium.Env` (`docs/gymnasium.md`)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, cast

import gymnasium
from gymnasium.envs.registration import EnvSpec

from converters.gymnasium.binding import Binding, Spaces
from interop.client import ClientOptions, Session
from interop.errors import InteropError, SessionLost
from interop.providers import Started, started
from interop.sources import is_url


class OpenEnvEnv(gymnasium.Env[Any, Any]):
    """A Gymnasium environment whose episodes run on an OpenEnv server.

    A server of this project gives its exact spaces, and every observation, reward, flag and info equals the local
    environment's bit for bit. For any other server the spaces are inferred from its schemas; each can be overridden.

    The session is opened by the first call that needs it, in the process that makes it, so an environment can be
    pickled and sent to a worker. It is pinned: when it is lost, calls raise `SessionLost` or `SessionTimeout`, and
    `reset` does too; make a new environment then.

    Args:
        url: The server, `http://host:port[/prefix]`.
        render_mode: One of `metadata["render_modes"]`; `human` and lists are made by `gymnasium.make` from these.
        spaces: `(observation_space, action_space)` in place of the server's; either may be None.
        encode_action: Makes the `data` of a step frame of an action.
        decode_observation: Makes an observation of the `observation` object of a reply.
        text: Observations and actions are text: the observation object as JSON, or its one text field; an action fills
            the one required field of the action schema, or is the action's JSON.
        options: Fields of `interop.ClientOptions`, such as `timeout=300`.

    Raises:
        ConnectError: No server answers there.
    """

    # What gymnasium.make knows before there is a server: it builds the other modes from these.
    metadata = {  # noqa: RUF012
        "render_modes": ["rgb_array", "depth_array", "rgbd_tuple", "state_pixels", "ansi"],
        "render_fps": 30,
    }

    def __init__(
        self,
        url: str,
        *,
        render_mode: str | None = None,
        spaces: Spaces | None = None,
        encode_action: Callable[[Any], Mapping[str, Any]] | None = None,
        decode_observation: Callable[[Mapping[str, Any]], Any] | None = None,
        text: bool = False,
        **options: Any,
    ) -> None:
        self._arguments: dict[str, Any] = {
            "url": url,
            "render_mode": render_mode,
            "spaces": spaces,
            "encode_action": encode_action,
            "decode_observation": decode_observation,
            "text": text,
            **options,
        }
        self._options = ClientOptions(**options)
        self._binding = Binding.of(
            url,
            self._options,
            spaces=spaces,
            encode_action=encode_action,
            decode_observation=decode_observation,
            text=text,
        )
        self.observation_space = self._binding.observation_space
        self.action_space = self._binding.action_space
        self.metadata = self._binding.metadata
        accepted = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in accepted:
            raise ValueError(f"render_mode={render_mode!r} is not offered by {url}; accepted are {accepted}")
        self.render_mode = render_mode
        self.url = url
        self._session: Session | None = None
        self._fresh = True
        self._closed = False
        self._server: Started | None = None
        self._about: Callable[[], str] | None = None
        """What more is known when the session is lost."""

    @property
    def remote_spec(self) -> EnvSpec | None:
        """The spec of the environment on the server, if the server says it."""
        return self._binding.spec

    @property
    def session(self) -> Session:
        """The session, opened if it is not yet. Raises `SessionError`."""
        if self._session is None:
            if self._closed:
                raise InteropError("the environment was closed; make a new one")
            self._session = Session(self.url, self._options)
        return self._session

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; `seed` and `options` go to the server's environment."""
        super().reset(seed=seed)
        self.send_reset(seed=seed, options=options)
        return self.receive_reset()

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Advance the episode by one action."""
        self.send_step(action)
        return self.receive_step()

    # The halves of reset and step, for code that waits for many environments together

    def send_reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """The first half of `reset`."""
        session = self.session
        render_mode = self.render_mode if self._fresh else None
        data = self._binding.reset_data(session, seed, options, render_mode)
        try:
            session.send("reset", data)
        except SessionLost as exc:
            self._explain(exc)
            raise
        self._fresh = False

    def receive_reset(self) -> tuple[Any, dict[str, Any]]:
        """The second half of `reset`."""
        obs, _, _, _, info = self.receive_step()
        return obs, info

    def send_step(self, action: Any) -> None:
        """The first half of `step`."""
        session = self.session
        data = self._binding.step_data(session, action)
        try:
            session.send("step", data)
        except SessionLost as exc:
            self._explain(exc)
            raise

    def receive_step(self) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """The second half of `step`."""
        session = self.session
        try:
            data = session.receive()
        except SessionLost as exc:
            self._explain(exc)
            raise
        return self._binding.decode(session, data)

    def _explain(self, exc: SessionLost) -> None:
        """Raise again with what more is known."""
        if self._about is not None and (more := self._about()):
            raise SessionLost(f"{exc}; {more}") from exc

    def render(self) -> Any:
        """The frame that the server's environment renders; None without a render mode."""
        if self.render_mode is None:
            return None
        return self._binding.decode_render(self.session, self.session.state())

    def close(self) -> None:
        """End the session. May be called again."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            session.close()
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        if self._server is not None:
            raise TypeError("an environment with a server of its own cannot be pickled; serve it and make(url) instead")
        return {"arguments": self._arguments, "spec": self.spec}

    def __setstate__(self, state: dict[str, Any]) -> None:
        arguments = dict(state["arguments"])
        OpenEnvEnv.__init__(self, arguments.pop("url"), **arguments)
        self.spec = state["spec"]

    def __str__(self) -> str:
        return f"<OpenEnvEnv<{self.url}>>"


def make(source: Any, **kwargs: Any) -> OpenEnvEnv:
    """An environment of a server's URL, or of an image or anything that can be served, on a server of its own."""
    if isinstance(source, str) and is_url(source):
        return OpenEnvEnv(source, **kwargs)
    server = started(source)
    try:
        env = OpenEnvEnv(server.url, **kwargs)
    except BaseException:
        server.stop()
        raise
    env._server, env._about = server, server.ended
    return env


def register(url: str, *, id: str) -> None:
    """Register a server in Gymnasium under an id, with what its spec says of rewards and determinism.

    The time limit stays on the server, so none is added here.
    """
    binding = Binding.of(url, ClientOptions())
    remote = binding.spec
    metadata = binding.metadata

    def entry_point(**kwargs: Any) -> OpenEnvEnv:
        return OpenEnvEnv(url, **kwargs)

    def vector_entry_point(num_envs: int, **kwargs: Any) -> Any:
        from converters.gymnasium.vector import OpenEnvVectorEnv

        return OpenEnvVectorEnv(num_envs=num_envs, url=url, **kwargs)

    # gymnasium.make reads the render modes of what it is about to call.
    entry_point.metadata = metadata  # type: ignore[attr-defined]
    gymnasium.register(
        id,
        entry_point=cast(Any, entry_point),
        vector_entry_point=cast(Any, vector_entry_point),
        reward_threshold=remote.reward_threshold if remote is not None else None,
        nondeterministic=remote.nondeterministic if remote is not None else True,
        disable_env_checker=True,
        order_enforce=False,
    )
