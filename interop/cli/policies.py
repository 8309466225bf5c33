"""Where the actions of `interop play` come from: chance, a person, or a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from interop.cli import output
from interop.cli.errors import CommandError
from interop.cli.recorders import FORMAT, Moment
from interop.errors import SourceError
from interop.sources import gymnasium_converter

Types = Mapping[str, str]


class EndOfEpisode(Exception):
    """The policy has no action for the rest of this episode; the text says why."""


class EndOfPlay(Exception):
    """The policy has no more actions at all; the text says why."""


class Policy(Protocol):
    """Chooses actions."""

    def begin(self, episode: int) -> None:
        """An episode is about to be reset. Raises `EndOfPlay`."""

    def act(self, moment: Moment) -> Any:
        """The action that follows a reset or a step. Raises `EndOfEpisode` or `EndOfPlay`."""


class Random:
    """Samples the action space, by the mask in `info["action_mask"]` where there is one."""

    def __init__(self, space: Any, seed: int) -> None:
        from gymnasium.spaces import Discrete

        space.seed(seed)
        self._space = space
        self._masked = isinstance(space, Discrete)

    def begin(self, episode: int) -> None:
        pass

    def act(self, moment: Moment) -> Any:
        import numpy as np

        mask = moment.info.get("action_mask") if self._masked else None
        if mask is None or np.shape(mask) != (self._space.n,):
            return self._space.sample()
        return self._space.sample(mask=np.asarray(mask, dtype=np.int8))


class Typed:
    """Asks a person for each action: JSON, a plain number, or bare text where the space is text."""

    def __init__(self, space: Any) -> None:
        self._read = reader(space)
        self._accepted = accepted(space)

    def begin(self, episode: int) -> None:
        pass

    def act(self, moment: Moment) -> Any:
        output.write_error_text(f"reward: {moment.reward}\n" if moment.step else f"episode {moment.episode}\n")
        output.write_error_text(f"observation: {moment.observation}\n")
        output.write_error_text(f"info: {moment.info}\n" if moment.info else "")
        while True:
            output.write_error_text(f"step {moment.step + 1}, action ({self._accepted})> ")
            line = sys.stdin.readline()
            if not line:
                output.write_error_text("\n")
                raise EndOfPlay("no more input")
            if line.strip():
                try:
                    return self._read(line.strip())
                except ValueError:
                    output.error(f"{line.strip()!r} is no action; accepted is {self._accepted}")


class Listed:
    """Actions of a file: one JSON value per line, or a recording of `--record`, whose episodes are kept apart."""

    def __init__(self, path: Path, space: Any) -> None:
        lines = _lines(path)
        self.header = _header(lines)
        self._episodes: list[list[Any]] = [] if self.header is not None else [[]]
        read = reader(space)
        for number, value in lines[1:] if self.header is not None else lines:
            try:
                self._take(value, read)
            except (ValueError, KeyError, TypeError) as exc:
                raise CommandError(f"{path}:{number}: no action; accepted is {accepted(space)} ({exc})") from exc
        self._actions = iter(self._episodes[0] if self._episodes else ())

    @property
    def episodes(self) -> int:
        """How many episodes a recording has; 1 where the file is no recording."""
        return len(self._episodes)

    def begin(self, episode: int) -> None:
        if self.header is None:
            return
        if episode >= len(self._episodes):
            raise EndOfPlay("no more actions")
        self._actions = iter(self._episodes[episode])

    def act(self, moment: Moment) -> Any:
        for action in self._actions:
            return action
        raise (EndOfPlay if self.header is None else EndOfEpisode)("no more actions")

    def _take(self, value: Any, read: Callable[..., Any]) -> None:
        if self.header is None:
            self._episodes[0].append(read(json.dumps(value)))
            return
        if value["step"] == 0:
            self._episodes.append([])
        else:
            self._episodes[-1].append(read(json.dumps(value["action"]), value.get("types", {})))


def reader(space: Any) -> Callable[..., Any]:
    """Makes an action of its JSON text; the function raises `ValueError` for what is none."""
    from gymnasium.spaces import Box, Text

    codec = gymnasium_converter("values", "ValueCodec")(space, "/action")

    def read(text: str, types: Types | None = None) -> Any:
        try:
            plain = json.loads(text)
            if isinstance(space, Box) and space.shape and space.low.size == 1 and isinstance(plain, (int, float)):
                for _ in space.shape:  # a plain number will do for a list of one
                    plain = [plain]
            action = codec.decode(plain, types or {})
            if space.contains(action):
                return action
        except ValueError:
            pass
        if isinstance(space, Text) and not types and space.contains(text):
            return text
        raise ValueError(f"not in {space}")

    return read


def accepted(space: Any) -> str:
    """What a person may type for an action of a space."""
    from gymnasium import spaces

    labels = getattr(space, "labels", None)
    if labels is not None:
        return ", ".join(f"{index} = {json.dumps(label, ensure_ascii=False)}" for index, label in enumerate(labels))
    if isinstance(space, spaces.Discrete):
        return f"an integer from {space.start} to {space.start + space.n - 1}"
    if isinstance(space, spaces.Text):
        return f"text of {space.min_length} to {space.max_length} characters"
    if isinstance(space, spaces.Box):
        shape = "a number" if not space.shape else f"a list of shape {list(space.shape)}"
        low, high = space.low.min(initial=0), space.high.max(initial=0)
        return f"{shape}, such as {_example(space)} (from {low} to {high})"
    return f"JSON of {space}, such as {_example(space)}"


def _example(space: Any) -> str:
    import orjson

    try:
        types: dict[str, str] = {}
        plain = gymnasium_converter("values", "ValueCodec")(space, "/action").encode(space.sample(), types)
        text = orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    except (SourceError, ValueError, TypeError):
        return "what its schema says"
    return text if len(text) <= 80 else text[:77] + "..."


def _lines(path: Path) -> list[tuple[int, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise CommandError(f"--actions {path}: {getattr(exc, 'strerror', None) or exc}") from exc
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if line.strip():
                lines.append((number, json.loads(line)))
        except ValueError as exc:
            raise CommandError(f"{path}:{number}: no JSON: {exc}") from exc
    return lines


def _header(lines: Sequence[tuple[int, Any]]) -> dict[str, Any] | None:
    first = lines[0][1] if lines else None
    return first if isinstance(first, dict) and first.get("format") == FORMAT else None
