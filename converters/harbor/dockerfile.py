"""A Dockerfile as steps for a sandbox, or the line for which it needs Docker. Reading it runs nothing.

The grammar is that of the Dockerfile reference (docs.docker.com/reference/dockerfile). The image of FROM is not there:
a sandbox has the host's /usr, or a root file system that its owner names, and says so.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MEANINGLESS = frozenset(["CMD", "ENTRYPOINT", "EXPOSE", "LABEL", "VOLUME", "STOPSIGNAL", "HEALTHCHECK", "MAINTAINER"])
"""What is said to those who run the image's own program, which harbor does not."""
INSTRUCTIONS = frozenset(["FROM", "ARG", "ENV", "WORKDIR", "USER", "SHELL", "RUN", "COPY", "ADD"])
HEREDOC = re.compile(r"""(?:^|\s)\d*<<-?(["']?)[A-Za-z_]\w*\1(?=\s|$)""")
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])((?:[^{}]|\$\{[^{}]*\})*))?\})")
REMOTE = re.compile(r"^git@|://")
ARCHIVE = re.compile(r"\.(tar|tgz|tbz2?|txz|tzst|tar\.\w+)$")


class DockerfileError(ValueError):
    """It is no Dockerfile, with the line."""


class NeedsDocker(DockerfileError):
    """It says something that only Docker can do, with the line."""

    def __init__(self, line: int, text: str, why: str = "") -> None:
        shown = text if len(text) <= 120 else text[:117] + "..."
        super().__init__(f"needs Docker because line {line}: {shown}" + (f" ({why})" if why else ""))


@dataclass(frozen=True)
class Instruction:
    """One instruction; `rest` is what follows its name and its flags, with continued lines joined."""

    line: int
    name: str
    flags: Mapping[str, str]
    rest: str
    text: str


@dataclass(frozen=True)
class Copy:
    """Sources are patterns in the context; `target` is absolute, and a directory where it ends with a slash."""

    line: int
    sources: tuple[str, ...]
    target: str
    owner: str | None
    mode: int | None


@dataclass(frozen=True)
class Run:
    line: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    user: str


@dataclass(frozen=True)
class Directory:
    path: str


@dataclass
class Image:
    """What a Dockerfile says: what is asked for in FROM, the steps, and what every command then begins with."""

    base: str = ""
    steps: list[Copy | Run | Directory] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "root"
    shell: tuple[str, ...] = ("/bin/sh", "-c")


def unsupported(text: str) -> str | None:
    """Why a sandbox cannot build this Dockerfile; None where it can."""
    try:
        plan(text)
    except DockerfileError as exc:
        return str(exc)
    return None


def plan(text: str) -> Image:
    """The steps of a Dockerfile.

    Raises:
        NeedsDocker: It has something that is for Docker alone.
        DockerfileError: It is not well formed.
    """
    return _Planner(_escape(text)).plan(read(text))


def read(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile."""
    escape = _escape(text)
    return [_instruction(number, joined) for number, joined in _joined(text, escape)]


def _escape(text: str) -> str:
    """The escape character, which a directive in the first comments may change."""
    for line in text.splitlines():
        directive = re.match(r"#\s*(\w+)\s*=\s*(\S+)\s*$", line.strip())
        if not directive:
            break
        if directive[1].lower() == "escape":
            return directive[2]
    return "\\"


def _joined(text: str, escape: str) -> Iterator[tuple[int, str]]:
    """Line number and text of each instruction; comments and empty lines are skipped within one too."""
    began, parts = 0, ""
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        began = began or number
        if line.rstrip().endswith(escape):
            parts += line.rstrip()[: -len(escape)]
            continue
        if HEREDOC.search(parts + line) and re.match(r"\s*(RUN|COPY|ADD)\b", parts + line, re.IGNORECASE):
            raise NeedsDocker(began, (parts + line).strip(), "a here-document")
        yield began, (parts + line).strip()
        began, parts = 0, ""
    if parts.strip():
        yield began, parts.strip()


def _instruction(line: int, text: str) -> Instruction:
    name, _, rest = text.partition(" ") if " " in text else text.partition("\t")
    flags: dict[str, str] = {}
    rest = rest.strip()
    while found := re.match(r"--([\w-]+)(?:=(\S*))?(?:\s+|$)", rest):
        flags[found[1]] = found[2] or ""
        rest = rest[found.end() :]
    return Instruction(line, name.upper(), flags, rest, text)


def _json(rest: str) -> tuple[str, ...] | None:
    """The words of the exec form; None where it is not that."""
    if not rest.startswith("["):
        return None
    try:
        words = json.loads(rest)
    except ValueError:
        return None  # Docker takes it for the shell form too
    return tuple(words) if words and all(isinstance(word, str) for word in words) else None


class _Planner:
    def __init__(self, escape: str) -> None:
        self._escape = escape
        self._image = Image()
        self._global: dict[str, str] = {}
        self._arguments: dict[str, str] = {}

    def plan(self, instructions: list[Instruction]) -> Image:
        for instruction in instructions:
            if not self._image.base and instruction.name not in ("FROM", "ARG"):
                raise DockerfileError(f"line {instruction.line}: {instruction.text}: FROM comes first")
            if instruction.name in MEANINGLESS:
                continue
            if instruction.name == "ONBUILD":
                raise NeedsDocker(instruction.line, instruction.text)
            if instruction.name not in INSTRUCTIONS:
                raise DockerfileError(f"line {instruction.line}: {instruction.text}: there is no such instruction")
            if not instruction.rest:
                raise DockerfileError(f"line {instruction.line}: {instruction.text}: it says nothing")
            getattr(self, f"_{instruction.name.lower()}")(instruction)
        if not self._image.base:
            raise DockerfileError("there is no FROM")
        return self._image

    def _from(self, it: Instruction) -> None:
        if self._image.base:
            raise NeedsDocker(it.line, it.text, "a second stage")
        self._image.base = self._words(it, self._global)[0]

    def _arg(self, it: Instruction) -> None:
        known = self._variables() if self._image.base else self._global
        for word in self._words(it, known):
            name, given, value = word.partition("=")
            default = self._global.get(name) if self._image.base else None
            if given:
                default = value
            if default is not None:
                (self._arguments if self._image.base else self._global)[name] = default

    def _env(self, it: Instruction) -> None:
        words = self._words(it)
        if "=" not in words[0]:  # the old form: ENV NAME the rest of the line
            name, _, value = it.rest.partition(" ")
            pairs = [(name, "".join(self._lex(it, value.strip(), self._variables(), split=False)))]
        else:
            pairs = [(name, value) for name, _, value in (word.partition("=") for word in words)]
        self._image.env |= pairs

    def _workdir(self, it: Instruction) -> None:
        self._image.workdir = self._absolute("".join(self._lex(it, it.rest, self._variables(), split=False)))
        self._image.steps.append(Directory(self._image.workdir))

    def _user(self, it: Instruction) -> None:
        self._image.user = self._words(it)[0]

    def _shell(self, it: Instruction) -> None:
        words = _json(it.rest)
        if words is None:
            raise DockerfileError(f"line {it.line}: {it.text}: SHELL takes a JSON list of words")
        self._image.shell = words

    def _run(self, it: Instruction) -> None:
        if it.flags:
            raise NeedsDocker(it.line, it.text)
        image = self._image
        argv = _json(it.rest) or (*image.shell, it.rest)
        image.steps.append(Run(it.line, argv, self._variables(), image.workdir, image.user))

    def _copy(self, it: Instruction) -> None:
        if set(it.flags) - {"chown", "chmod", "link"}:
            raise NeedsDocker(it.line, it.text)
        words = list(_json(it.rest) or ())
        words = ["".join(self._lex(it, word, self._variables(), split=False)) for word in words] or self._words(it)
        if len(words) < 2:
            raise DockerfileError(f"line {it.line}: {it.text}: sources and a target are wanted")
        *sources, target = words
        if it.name == "ADD" and any(
            "://" in each or each.startswith("git@") or ARCHIVE.search(each) for each in sources
        ):
            raise NeedsDocker(it.line, it.text, "ADD of what is not copied as it is")
        mode = it.flags.get("chmod", "")
        if mode and not re.fullmatch("[0-7]{3,4}", mode):
            raise NeedsDocker(it.line, it.text, "a mode that is not octal")
        slash = "/" if target.endswith("/") or len(sources) > 1 or target in (".", "..") else ""
        owner = "".join(self._lex(it, it.flags.get("chown", ""), self._variables(), split=False))
        place = self._absolute(target).rstrip("/") + slash
        self._image.steps.append(Copy(it.line, tuple(sources), place, owner or None, int(mode, 8) if mode else None))

    _add = _copy

    def _variables(self) -> dict[str, str]:
        return {**self._arguments, **self._image.env}

    def _absolute(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self._image.workdir, path))

    def _words(self, it: Instruction, variables: Mapping[str, str] | None = None) -> list[str]:
        known = self._variables() if variables is None else variables
        return self._lex(it, it.rest, known, split=True) or [""]

    def _lex(self, it: Instruction, text: str, variables: Mapping[str, str], *, split: bool) -> list[str]:
        """Words with quotes removed and variables put in; one word where nothing is to be split."""
        words, word, quote, at = [], None if split else "", "", 0
        while at < len(text):
            char = text[at]
            at += 1
            if char == self._escape and quote != "'" and at < len(text):
                word = (word or "") + ("" if not quote or text[at] in '"$' + self._escape else char) + text[at]
                at += 1
            elif char in "\"'" and quote in ("", char):
                quote, word = "" if quote else char, word or ""
            elif char == "$" and quote != "'" and (found := VARIABLE.match(text, at - 1)):
                word = (word or "") + self._value(it, found, variables)
                at = found.end()
            elif text.startswith("${", at - 1) and quote != "'":
                raise NeedsDocker(it.line, it.text, "a substitution other than ${X}, ${X:-word} and ${X:+word}")
            elif char.isspace() and split and not quote:
                words += [] if word is None else [word]
                word = None
            else:
                word = (word or "") + char
        if quote:
            raise DockerfileError(f"line {it.line}: {it.text}: a quote is not closed")
        return words + ([] if word is None else [word])

    def _value(self, it: Instruction, found: re.Match[str], variables: Mapping[str, str]) -> str:
        name, how, other = found[1] or found[2], found[3] or "", found[4] or ""
        value = variables.get(name)
        there = bool(value) if how.startswith(":") else value is not None
        if how.endswith(("-", "+")) and there == how.endswith("+"):
            return "".join(self._lex(it, other, variables, split=False))
        return (value or "") if not how.endswith("+") else ""
