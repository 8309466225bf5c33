"""What `interop play --record` writes: JSON lines, a GIF or an MP4."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, Protocol

import orjson

from interop import __version__
from interop.cli.errors import CommandError
from interop.errors import CannotCarry
from interop.sources import gymnasium_converter

FORMAT: Final = "interop-recording/1"


@dataclass(slots=True, kw_only=True)
class Moment:
    """What a reset (step 0, without action and reward) or a step gave."""

    episode: int
    step: int
    action: Any = None
    observation: Any
    reward: Any = None
    terminated: Any = False
    truncated: Any = False
    info: Mapping[str, Any]


class Recorder(Protocol):
    """Takes a play down."""

    def add(self, moment: Moment, frame: Any) -> None:
        """One moment, with its frame where the environment renders."""

    def close(self) -> None:
        """Finish the file."""


def needs_frames(path: Path) -> bool:
    """Whether a recording is made of frames. Raises `CommandError` where this name cannot be recorded."""
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".gif", ".mp4"):
        raise CommandError(f"--record {path}: accepted are names that end in .jsonl, .gif or .mp4")
    if suffix == ".gif" and find_spec("PIL") is None:
        raise CommandError("--record .gif needs Pillow; pip install pillow")
    if suffix == ".mp4":
        _ffmpeg()
    if not path.parent.is_dir():
        raise CommandError(f"--record {path}: there is no directory {path.parent}")
    return suffix != ".jsonl"


def recorder(path: Path, env: Any, header: Mapping[str, Any]) -> Recorder:
    """The recorder that a file's name asks for. Raises `CommandError` where the file cannot be written."""
    try:
        file = path.open("wb")
    except OSError as exc:
        raise CommandError(f"--record {path}: {exc.strerror}") from exc
    if path.suffix.lower() == ".jsonl":
        return Lines(file, env, header)
    file.close()
    rate = float(env.metadata.get("render_fps") or 30)
    return Gif(path, rate) if path.suffix.lower() == ".gif" else Mp4(path, rate)


class Lines:
    """JSON lines: a header, then a line per reset (step 0) and step, in the plain JSON form of the spaces.

    `types`, where it is there, names what plain JSON cannot say, as in the frames of the protocol.
    """

    def __init__(self, file: IO[bytes], env: Any, header: Mapping[str, Any]) -> None:
        self._file = file
        codec = gymnasium_converter("values", "ValueCodec")
        self._free = gymnasium_converter("values", "encode_free")
        self._action = codec(env.action_space, "/action")
        self._observation = codec(env.observation_space, "/observation")
        spaces = {"action_space": _space(env.action_space), "observation_space": _space(env.observation_space)}
        self._write({"format": FORMAT, "interop": __version__, **header, **spaces})

    def add(self, moment: Moment, frame: Any) -> None:
        types: dict[str, str] = {}
        line: dict[str, Any] = {"episode": moment.episode, "step": moment.step}
        line["action"] = self._action.encode(moment.action, types) if moment.step else None
        line["observation"] = self._observation.encode(moment.observation, types)
        for key in ("reward", "terminated", "truncated", "info"):
            line[key] = self._free(getattr(moment, key), f"/{key}", types)
        if types:
            line["types"] = types
        self._write(line)

    def close(self) -> None:
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))


class Gif:
    """An animation, written at the end. A frame that equals the one before only makes that one last longer."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        self._milliseconds = max(20, round(1000 / rate / 10) * 10)  # viewers slow down what is faster
        self._frames: list[Any] = []

    def add(self, moment: Moment, frame: Any) -> None:
        from PIL import Image

        # A byte per pixel from here on: a long play has many frames.
        self._frames.append(Image.fromarray(_rgb(frame)).quantize(256))

    def close(self) -> None:
        if self._frames:
            first, *rest = self._frames
            first.save(self._path, save_all=True, append_images=rest, duration=self._milliseconds, loop=0)


class Mp4:
    """A video, encoded by ffmpeg while it is played."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        self._rate = rate
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process

    def add(self, moment: Moment, frame: Any) -> None:
        array = _rgb(frame)
        if self._process is None:
            self._process = self._start(array.shape[1], array.shape[0])
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(array.tobytes())
        except BrokenPipeError:
            raise CommandError(f"ffmpeg gave up on {self._path}: {self._last_words()}") from None

    def close(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.wait(60):
            raise CommandError(f"ffmpeg gave up on {self._path}: {self._last_words()}")

    def _start(self, width: int, height: int) -> subprocess.Popen[bytes]:
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{self._rate:g}", "-i", "-"]
        # Players want 4:2:0, which wants even sides.
        video = ["-an", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", str(self._path.absolute())]
        command = [_ffmpeg(), "-y", "-loglevel", "error", *raw, *video]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._log)

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()[-300:] or "it says nothing"


def _rgb(frame: Any) -> Any:
    import numpy as np

    array = np.asarray(frame)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise CommandError(f"a frame is {array.dtype} of shape {array.shape}, not uint8 of shape (height, width, 3)")
    return np.ascontiguousarray(array)


def _ffmpeg() -> str:
    try:
        return str(import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        found = shutil.which("ffmpeg")
    if found is None:
        raise CommandError("--record .mp4 needs ffmpeg; pip install imageio-ffmpeg, or record a .gif")
    return found


def _space(space: Any) -> Any:
    try:
        return gymnasium_converter("spaces", "space_to_json")(space)
    except CannotCarry:
        return str(space)
