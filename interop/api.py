"""The functions of the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interop.client import AsyncSession, ClientOptions, Session
from interop.environment import Source
from interop.server import Server, Settings
from interop.sources import gymnasium_converter, to_source
from interop.suite import Report, suite

if TYPE_CHECKING:
    import gymnasium
    from gymnasium.vector import VectorEnv


def serve(source: Any, *, host: str = "127.0.0.1", port: int = 0, **settings: Any) -> Server:
    """Serve an environment over OpenEnv.

    Use it in a `with` block, which runs the server in the background, or call `run()` on what it returns.

    Args:
        source: A source (`"gym:CartPole-v1"`), a `gymnasium.Env`, a function that returns one, or a `Source`.
        host: Address to listen on; loopback by default.
        port: TCP port; 0 takes a free one, see `.url`.
        settings: Fields of `Settings`, such as `max_sessions=8` or `isolation="process"`.

    Raises:
        SourceError: The source cannot be found or built.
        OSError: The port is taken.
    """
    return Server(to_source(source), host=host, port=port, settings=Settings(**settings))


def wrap(source: Any, **how: Any) -> Source:
    """The OpenEnv form of an environment, without serving it: it describes itself and builds sessions' environments.

    Args:
        source: As for `serve`.
        how: For environments that run in an interpreter of their own (`verifiers:`): `python`, `verifiers`, `packages`
            and `workers`, as the options `--python`, `--verifiers`, `--with` and `--workers` of `interop serve`. For
            `harbor:` `sandbox`, as the option `--sandbox`.
    """
    return to_source(source, how)


def connect(url: str, **options: Any) -> Session:
    """Open a session with a server.

    Args:
        url: `http://host:port[/prefix]`.
        options: Fields of `ClientOptions`, such as `timeout=300`.

    Raises:
        ConnectError: No server answers there, or it refuses.
    """
    return Session(url, ClientOptions(**options))


async def connect_async(url: str, **options: Any) -> AsyncSession:
    """Open a session with a server from asyncio code; as `connect`."""
    return await AsyncSession.open(url, ClientOptions(**options))


def make(source: Any, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """A Gymnasium environment of an OpenEnv server.

    Args:
        source: A server's URL; or anything that `serve` takes, or an image (`"docker:cartpole?memory=1g"`), which is
            served for this environment alone then.
        kwargs: Arguments of `converters.gymnasium.expose.OpenEnvEnv`, such as `render_mode="rgb_array"`.
    """
    env: gymnasium.Env[Any, Any] = gymnasium_converter("expose", "make")(source, **kwargs)
    return env


def make_vec(source: Any, num_envs: int = 1, **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    """A Gymnasium vector environment of an OpenEnv server, or of several.

    Args:
        source: As for `make`, or a list of URLs over which the sub-environments are spread.
        num_envs: Number of sub-environments.
        kwargs: Arguments of `converters.gymnasium.vector.OpenEnvVectorEnv`, such as `autoreset_mode`.
    """
    env: VectorEnv[Any, Any, Any] = gymnasium_converter("vector", "make_vec")(source, num_envs, **kwargs)
    return env


def register(url: str, *, id: str) -> None:
    """Give a server an id in Gymnasium's registry, with the environment's own spec.

    Args:
        url: The server.
        id: `[namespace/]name[-vN]`; then `gymnasium.make(id)` works in this process.

    Raises:
        ConnectError: No server answers there.
    """
    gymnasium_converter("expose", "register")(url, id=id)


def certify(
    target: str | Path,
    *,
    profile: str = "all",
    requirements: str = "0.10",
    # What is known of the environment
    actions: str | Path | Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
    reset: Mapping[str, Any] | None = None,
    expected_failures: str | Path | Mapping[str, str] | None = None,
    # How to reach it
    token: str | None = None,
    python: str | None = None,
    jobs: int = 4,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Certify a server: talk to it, and judge what it said by the requirements of `docs/protocol.md`.

    Args:
        target: A server's URL, a source (`"gym:CartPole-v1"`), `"docker:IMAGE"`, or a directory with an `openenv.yaml`;
            all but a URL are served for this.
        profile: `"core"`, `"mcp"`, `"tasks"`, `"gymnasium"`, `"strict"`, or `"all"`.
        requirements: The release of openenv whose protocol is required.
        actions: A list of valid actions, a mapping with an action for each role (`docs/conformance.md`), or the path of
            a JSON file with one of the two; derived from the action schema if None.
        reset: Arguments of every reset.
        expected_failures: A mapping of ids to reasons, or the path of a TOML file with such a table `[expected]`.
        token: The bearer token of the server.
        python: The Python that serves a source or a directory.
        jobs: Sessions used at a time, where the server allows as many.
        progress: Told the name of what was done, how much is done, and how much there is.

    Raises:
        conformance.errors.ConformanceError: A name, file or value makes no sense, nothing listens there, or it does
            not start.
    """
    report: Report = suite().certify(
        target,
        profile=profile,
        requirements=requirements,
        actions=actions,
        reset=reset,
        expected_failures=expected_failures,
        token=token,
        python=python,
        jobs=jobs,
        progress=progress,
    )
    return report
