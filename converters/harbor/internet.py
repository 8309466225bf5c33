"""What of a harbor task needs the internet, and when: found in its scripts and Dockerfiles, without running them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COMMANDS = (
    r"(?:apt-get|apt|yum|dnf)\s+(?:-\S+\s+)*(?:install|update|upgrade)",
    r"apk\s+(?:-\S+\s+)*(?:add|update)",
    r"(?:python[\d.]*\s+-m\s+)?pip[\d.]*\s+(?:install|download)",
    r"uvx",
    r"uv\s+(?:pip\s+install|add|sync|run|tool|venv|python)",
    r"(?:conda|mamba)\s+(?:install|create)",
    r"(?:npm|pnpm)\s+(?:install|i|ci|add)|npx|yarn(?:\s+(?:install|add))?",
    r"(?:curl|wget)",
    r"git\s+(?:-C\s+\S+\s+|-\S+\s+)*(?:clone|fetch|pull|submodule)",
    r"cargo\s+(?:install|fetch)|go\s+(?:get|install)|gem\s+install|bundle\s+install",
    r"(?:hf|huggingface-cli)\s+download",
)
# A command stands at the beginning of a line, or after what the shell has before one.
_BEFORE = r"(?:^|[;&|({`!]|\b(?:sudo|then|do|else|exec|time|if|while|until|RUN)\b)\s*(?:--?\w\S*\s+|\w+=\S*\s+)*"
_NEED = re.compile(f"{_BEFORE}({'|'.join(_COMMANDS)})(?![\\w.-])")
_FETCH = re.compile(r"\s*(?:ADD\s+(?:--\S+\s+)*(?:https?|git)\S+|COPY\s+(?:--\S+\s+)*--from=\S*[./]\S*)")
_HERE = re.compile(r"localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0|file://|--no-index|--offline")

PHASES = {
    "build": "when the image is built",
    "setup": "when a step begins",
    "solution": "when the solution runs",
    "verify": "at verification",
}


@dataclass(frozen=True, slots=True)
class Need:
    """A command that needs the internet: in which phase, and where it stands."""

    phase: str
    file: str
    line: int
    command: str


def needs(path: Path, config: Mapping[str, Any]) -> list[Need]:
    """What a task runs that needs the internet, in the order of the phases.

    Images that Dockerfiles begin with are not counted: whether they are there is the machine's affair. What programs in
    other languages than the shell fetch is not seen.
    """
    steps = [path / "steps" / step["name"] for step in config.get("steps", ())]
    roots = [path, *steps]
    files = [("build", path / "environment" / "Dockerfile")]
    files += [("build", root / "tests" / "Dockerfile") for root in roots]
    files += [("setup", step / "workdir" / "setup.sh") for step in steps]
    files += [("solution", file) for root in roots for file in sorted((root / "solution").rglob("*.sh"))]
    files += [("verify", file) for root in roots for file in sorted((root / "tests").rglob("*.sh"))]
    return [
        Need(phase, str(file.relative_to(path)), line, command)
        for phase, file in files
        if file.is_file()
        for line, command in found_in(file.read_text(encoding="utf-8", errors="replace"))
    ]


def found_in(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a script or a Dockerfile that need the internet, from 1, and what on them does."""
    for number, line in logical_lines(text):
        if fetch := _FETCH.match(line):
            yield number, " ".join(fetch[0].split())
        for match in _NEED.finditer(_shell(line)):
            rest = _shell(line)[match.end() :]
            if not _HERE.search(re.split(r"[;&|]", rest, maxsplit=1)[0]):
                yield number, " ".join(match[1].split())


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a script or a Dockerfile with the number of the first, continued ones joined, comments left out."""
    begun = 0
    parts: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        begun = begun if parts else number
        parts.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            yield begun, " ".join(parts)
            parts = []
    if parts:
        yield begun, " ".join(parts)


def _shell(line: str) -> str:
    """A line as a shell has it: `RUN ["pip", "install", "x"]` is `RUN pip install x`."""
    name, _, rest = line.strip().partition(" ")
    if name == "RUN" and rest.lstrip().startswith("["):
        try:
            return " ".join([name, *map(str, json.loads(rest))])
        except ValueError:
            return line
    return line
