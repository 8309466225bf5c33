"""`interop bench`: steps per second, in process and over every kind of connection, in one run."""

from __future__ import annotations

import contextlib
import json as jsonlib
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from interop.api import make, make_vec, wrap
from interop.cli import output
from interop.cli.errors import Code, CommandError
from interop.cli.options import Json, SourceOrUrl, Token, Traceback, client_options, command_app
from interop.errors import CapacityReached, InteropError, ProtocolError, ServerError
from interop.providers import image_of
from interop.server import Settings
from interop.sources import is_url

app = command_app()

ROUNDS = 5
"""How often each way has its turn; the ways take turns, so that a busy moment of the machine hits them all."""
_ACTIONS = 256
_START = 120.0
"""Seconds in which a server must start: heavy ecosystems take ten to import."""


class _NotOffered(Exception):
    """This way does not exist here; the text says why."""


@dataclass(slots=True)
class Way:
    """One way to step the environment, and its steps per second in each round."""

    name: str
    open: Callable[[], Any]
    num_envs: int = 0  # 0 is a plain environment, not a vector of one
    rounds: list[float] = field(default_factory=list)
    note: str = ""


@app.command()
def bench(
    source: SourceOrUrl,
    seconds: Annotated[float, typer.Option(min=0.01, help="Seconds of measuring for each way.")] = 2.0,
    num_envs: Annotated[int, typer.Option(min=1, max=4096, help="Environments of the vectors.")] = 8,
    token: Token = None,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Measure steps per second, in process and over every kind of connection.

    The ways take turns in five rounds; the table has the median and the spread of each. A source is served by a
    process of its own. In-process is Gymnasium's own environment, for gym: sources. The steps of a vector are those of
    all its environments. Actions are random.

    Examples:

    \b
      interop bench gym:CartPole-v1
      interop bench http://127.0.0.1:8000 --seconds 5 --num-envs 16
      interop bench gym:ALE/Pong-v5 --json | jq '.ways[] | [.name, .median]'
    """
    with contextlib.ExitStack() as stack:
        ways: list[Way] = []
        url = source
        if (image := image_of(source)) is not None:
            running = image.start(token=token)
            stack.callback(running.stop)
            url = running.url
        elif not is_url(source):
            ways += _in_process(source)
            url = stack.enter_context(_served(source, num_envs, token))
        ways += _connections(url, num_envs, client_options(token))
        _measure(ways, seconds)
    if not any(way.rounds for way in ways):
        raise CommandError(f"nothing could be measured: {ways[-1].note}", Code.FINDINGS)
    _show(source, ways, seconds, num_envs, json)


# The ways


def _in_process(source: str) -> list[Way]:
    document = wrap(source).describe().extensions.get("gymnasium")
    if document is None:
        return []

    def build() -> Any:
        import gymnasium
        from gymnasium.envs.registration import EnvSpec

        try:
            spec = EnvSpec.from_json(jsonlib.dumps(document["spec"]))
        except Exception as exc:  # what a spec that is no plain JSON raises is anybody's guess
            raise _NotOffered("its spec cannot be rebuilt") from exc
        return gymnasium.make(spec, disable_env_checker=True)

    return [Way("in-process", build)]


def _connections(url: str, num_envs: int, options: Mapping[str, Any]) -> list[Way]:
    def binary() -> Any:
        env: Any = make(url, **options)
        if env.session.codec == "json":
            env.close()
            raise _NotOffered("the server does not offer interop.msgpack.v1")
        return env

    return [
        Way("session, JSON", lambda: make(url, binary=False, **options)),
        Way("session, msgpack", binary),
        Way(f"vector of {num_envs}, one connection", lambda: _vector(url, num_envs, False, options), num_envs),
        Way(f"vector of {num_envs}, {num_envs} sessions", lambda: _vector(url, num_envs, True, options), num_envs),
    ]


def _vector(url: str, num_envs: int, sessions: bool, options: Mapping[str, Any]) -> Any:
    try:
        return make_vec(url, num_envs, sessions=sessions, **options)
    except (ServerError, ProtocolError) as exc:
        raise exc if sessions else _NotOffered(str(exc)) from exc
    except InteropError as exc:
        if type(exc) is not InteropError:
            raise
        raise _NotOffered("the server does not offer vector messages") from exc


@contextlib.contextmanager
def _served(source: str, num_envs: int, token: str | None) -> Iterator[str]:
    """The URL of a source, served by a process of its own for as long as this lasts."""
    sessions = max(Settings().max_sessions, num_envs + 8)  # sessions that end hold their place for a moment
    command = [sys.executable, "-m", "interop", "serve", source, "--port", "0", "--max-sessions", str(sessions)]
    environment = None if token is None else {**os.environ, "INTEROP_TOKEN": token}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=environment
        )
        try:
            yield _address(process, log)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _address(process: subprocess.Popen[bytes], log: Any) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], _START)
    line = process.stdout.readline() if readable else b""
    try:
        return str(jsonlib.loads(line)["url"])
    except ValueError:
        code = process.wait(10) if readable else 1
        log.seek(0)
        words = log.read().decode(errors="replace").strip().splitlines()
        why = words[-1].removeprefix("error: ") if words else f"it said nothing in {_START:g} s"
        raise CommandError(f"the server did not start: {why}", code or Code.FINDINGS) from None


# Measuring


def _measure(ways: list[Way], seconds: float) -> None:
    from rich.progress import Progress

    console = output.notices()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("measuring", total=ROUNDS * len(ways))
        for _ in range(ROUNDS):
            for way in ways:
                progress.update(task, description=way.name)
                if not way.note:
                    _take_turn(way, seconds / ROUNDS)
                progress.advance(task)


def _take_turn(way: Way, seconds: float) -> None:
    try:
        env = way.open()
        try:
            way.rounds.append(_rate_vector(env, way.num_envs, seconds) if way.num_envs else _rate(env, seconds))
        finally:
            env.close()
    except _NotOffered as exc:
        way.note = str(exc)
    except CapacityReached as exc:
        way.note = f"no free session: {exc}"
    except ServerError as exc:
        raise CommandError(f"{way.name}: a random action failed: {exc}", Code.FINDINGS) from exc


def _rate(env: Any, seconds: float) -> float:
    actions = _some_actions(env.action_space)
    env.reset(seed=0)
    env.step(actions[0])  # what is made at the first step is not measured
    env.reset(seed=0)
    steps, start = 0, time.perf_counter()
    end = start + seconds
    while time.perf_counter() < end:
        _, _, terminated, truncated, _ = env.step(actions[steps % _ACTIONS])
        steps += 1
        if terminated or truncated:
            env.reset()
    return steps / (time.perf_counter() - start)


def _rate_vector(env: Any, num_envs: int, seconds: float) -> float:
    actions = _some_actions(env.action_space)
    env.reset(seed=0)
    env.step(actions[0])
    env.reset(seed=0)
    steps, start = 0, time.perf_counter()
    end = start + seconds
    while time.perf_counter() < end:
        env.step(actions[steps % _ACTIONS])  # which resets what has ended
        steps += 1
    return steps * num_envs / (time.perf_counter() - start)


def _some_actions(space: Any) -> list[Any]:
    space.seed(0)
    return [space.sample() for _ in range(_ACTIONS)]


# The table


def _show(source: str, ways: list[Way], seconds: float, num_envs: int, json: bool) -> None:
    base = statistics.median(ways[0].rounds) if ways[0].name == "in-process" and ways[0].rounds else None
    documents = [_summary(way, base) for way in ways]
    if json:
        output.write_json(
            {"source": source, "seconds": seconds, "rounds": ROUNDS, "num_envs": num_envs, "ways": documents}
        )
        return
    rows = []
    for way in documents:
        if way["median"] is None:
            rows.append([way["name"], "-", "-", "-", way["note"]])
            continue
        ratio = "-" if way["ratio"] is None else f"{way['ratio']:.2f}"
        spread = f"{way['min']:,.0f} to {way['max']:,.0f}"
        rows.append([way["name"], f"{way['median']:,.0f}", spread, ratio, way["note"]])
    columns = ["way", ">steps/s", ">spread", ">x in-process", "note"]
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    output.write_table(columns, rows, title=f"{source}: median of {ROUNDS} rounds")


def _summary(way: Way, base: float | None) -> dict[str, Any]:
    median = statistics.median(way.rounds) if way.rounds else None
    return {
        "name": way.name,
        "median": median,
        "min": min(way.rounds, default=None),
        "max": max(way.rounds, default=None),
        "ratio": None if median is None or base is None else median / base,
        "rounds": way.rounds,
        "note": way.note,
    }
