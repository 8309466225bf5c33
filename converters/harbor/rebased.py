"""A task's Dockerfile as the first stages of another one, whose context has the task's in a directory."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from converters.harbor.dockerfile import REMOTE, DockerfileError, Instruction, NeedsDocker, read
from interop.errors import SourceError

STAGE = "interop-task"
"""The name of the last stage, unless the Dockerfile has given one."""
BASE = "BASE_IMAGE"
"""The build argument of the image that all begins with."""
_OWN_BASE = re.compile(rf"\$(\{{{BASE}\}}|{BASE}\b)")
_MOUNT = re.compile(r"--mount=(\S+)")


@dataclass(frozen=True)
class Rebased:
    """The stages.

    Attributes:
        text: Their instructions, each in a line, as Docker joins continued ones.
        stage: The name of the last one.
    """

    text: str
    stage: str


def rebased(name: str, text: str, context: str, base_image: str | None = None) -> Rebased:
    """The stages of a Dockerfile.

    Args:
        name: What errors call it.
        text: The Dockerfile.
        context: The directory of the new context that has all of the old one.
        base_image: What the last stage begins with, instead of what is said; the build argument BASE_IMAGE may say
            another one still.

    Raises:
        SourceError: It is no Dockerfile, or says something that would mean another thing there.
    """
    if re.match(r"(\s*#.*\n)*\s*#\s*escape\s*=\s*`", text, re.IGNORECASE):
        raise SourceError(f"{name}: another escape character than \\ cannot be carried over; write it with that")
    try:
        instructions = read(text)
    except NeedsDocker as exc:
        said = str(exc).removeprefix("needs Docker because ")
        raise SourceError(f"{name}: {said}: it cannot be carried over; write that into a file and COPY it") from exc
    except DockerfileError as exc:
        raise SourceError(f"{name}: {exc}") from exc
    froms = [it for it in instructions if it.name == "FROM"]
    if not froms:
        raise SourceError(f"{name}: there is no FROM")
    first, last = _first(name, froms), froms[-1]
    lines = [_line(name, it, context) for it in instructions]
    image = _words(name, first)[0]
    stage = _stage(name, last) or STAGE
    default = base_image if base_image is not None else None if _OWN_BASE.fullmatch(image) else image
    for number, it in enumerate(instructions):
        if it is first:
            lines[number] = f"{_head(it)}{' '.join([f'${{{BASE}}}', *_words(name, it)[1:]])}"
        if it is last and _stage(name, last) is None:
            lines[number] += f" AS {STAGE}"
    if default is not None:  # before the first FROM an argument is one of all stages
        lines.insert(instructions.index(froms[0]), f"ARG {BASE}={default}")
    return Rebased("\n".join(lines) + "\n", stage)


def ignored(text: str, context: str) -> list[str]:
    """The patterns of a context's `.dockerignore`, for one that has it in a directory."""
    patterns = [line.strip() for line in text.splitlines()]
    kept = [it for it in patterns if it and not it.startswith("#")]
    return [f"{'!' * it.startswith('!')}{context}/{_inside(it.removeprefix('!'))}" for it in kept]


def _first(name: str, froms: Sequence[Instruction]) -> Instruction:
    """The FROM that the last stage begins with, through the stages that it is made of."""
    found = len(froms) - 1
    while True:
        image = _words(name, froms[found])[0].lower()
        stages = [(_stage(name, it) or "").lower() for it in froms[:found]]
        if image not in stages:
            return froms[found]
        found = stages.index(image)


def _stage(name: str, it: Instruction) -> str | None:
    words = _words(name, it)
    return words[2] if len(words) == 3 and words[1].upper() == "AS" else None


def _words(name: str, it: Instruction) -> list[str]:
    words = it.rest.split()
    if not words:
        raise SourceError(f"{name}: line {it.line}: {it.text}: it says nothing")
    return words


def _head(it: Instruction) -> str:
    """The instruction's name and its flags."""
    return it.text[: len(it.text) - len(it.rest)]


def _line(name: str, it: Instruction, context: str) -> str:
    if it.name == "ONBUILD":
        raise SourceError(f"{name}: line {it.line}: {it.text}: it would be done to the hub's stages; leave it out")
    if it.name == "RUN" and any(_is_of_context(mount) for mount in _MOUNT.findall(it.text)):
        raise SourceError(f"{name}: line {it.line}: {it.text}: a mount of the context cannot be carried over; COPY it")
    if it.name not in ("COPY", "ADD") or "from" in it.flags:
        return it.text
    return _head(it) + _copied(it.rest, context)


def _is_of_context(mount: str) -> bool:
    said = dict(part.partition("=")[::2] for part in mount.split(","))
    return said.get("type", "bind") == "bind" and "from" not in said


def _copied(rest: str, context: str) -> str:
    """Sources and a target, which a list of JSON or spaces separate; quotes do not keep words together there."""
    try:
        words = json.loads(rest) if rest.startswith("[") else None
    except ValueError:
        words = None
    if isinstance(words, list) and all(isinstance(it, str) for it in words):
        return json.dumps([*(_moved(it, context) for it in words[:-1]), *words[-1:]])
    parts = rest.split()
    return " ".join([*(_moved(it, context) for it in parts[:-1]), *parts[-1:]])


def _moved(source: str, context: str) -> str:
    return source if REMOTE.search(source) else f"{context}/{_inside(source)}"


def _inside(path: str) -> str:
    """A path of the context: `..` and a leading slash do not lead out of it."""
    return posixpath.normpath(f"/{path}").lstrip("/")
