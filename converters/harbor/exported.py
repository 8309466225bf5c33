"""The files of one task of harbor whose environment is an OpenEnv environment."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Literal
from urllib.parse import urlsplit

from converters.harbor.survey import Start, Survey
from interop import __version__
from interop.client._common import http_url
from interop.sources import is_url

Reward = Literal["return", "last"]

PORT = 8765
_HERE = Path(__file__).parent
_TEMPLATES = _HERE / "templates"
_VENV = "/opt/openenv/venv/bin"
_PACKAGES = "/opt/openenv/packages"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_EXTRAS = {"gym": "[gymnasium]", "verifiers": "[verifiers]"}
_SILENCE = "1000000"
"""Seconds without a call that end no session: an agent may think for hours."""
_RULES = {
    "return": "the return of the episode, the sum of the rewards of its steps; it is 0 without a step. Where no step "
    "has a reward, or the last step of an episode that is over has none",
    "last": "that of the episode's last step. Where that has none, or there is no step",
}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How the tasks are written.

    Attributes:
        target: A source or the address of a server.
        single: Whether all is in one container.
        hub: The hub that images install: a requirement, a wheel or sdist, or a directory of wheels, from which alone
            is installed then.
        packages: More requirements, wheels or sdists.
        base_image: What images begin with; it has Python 3.12 or newer as `python3`, and bash.
        reward: The rule of the reward.
        oracle: A Python file that plays the task, by `openenv_mcp.Tools`.
    """

    target: str
    single: bool = False
    hub: str | None = None
    packages: Sequence[str] = ()
    base_image: str = "python:3.13-slim"
    reward: Reward = "return"
    oracle: Path | None = None


@dataclass(frozen=True)
class Exported:
    """One task to be written."""

    how: Choices
    survey: Survey
    start: Start
    name: str

    def write(self, directory: Path) -> None:
        """Write its files into a directory that is not there."""
        kind = "single" if self.how.single else "sidecar"
        remote = is_url(self.how.target)
        needs = self._filled("remote.md" if remote else "served.md")
        self._put(directory / "README.md", f"{kind}/README.md", needs=needs)
        self._put(directory / "instruction.md", "instruction.md", tools=self._tools(), first=self._first())
        table = self._filled("single/remote.toml", quoted=True) if self.how.single and remote else ""
        self._put(directory / "task.toml", f"{kind}/task.toml", quoted=True, remote=table)
        self._put(directory / "environment/Dockerfile", f"{kind}/Dockerfile", install=self._install())
        self._write_program(directory / "environment/openenv")
        self._put(directory / "tests/test.sh", f"{kind}/test.sh").chmod(0o755)
        shutil.copy(_TEMPLATES / "verify.py", directory / "tests")
        if not self.how.single:
            self._write_services(directory)
        if self.how.oracle is not None:
            self._put(directory / "solution/solve.sh", "solve.sh").chmod(0o755)
            shutil.copy(self.how.oracle, directory / "solution/oracle.py")
            shutil.copy(_TEMPLATES / "openenv_mcp.py", directory / "solution")

    def _write_services(self, directory: Path) -> None:
        """What makes containers of their own for the sidecar and the verifier."""
        environment = directory / "environment"
        part = self._filled("sidecar/remote.yaml", quoted=True) if is_url(self.how.target) else ""
        self._put(environment / "docker-compose.yaml", "sidecar/docker-compose.yaml", remote=part)
        self._put(environment / "openenv/Dockerfile", "sidecar/openenv.Dockerfile", install=self._install())
        self._put(directory / "tests/Dockerfile", "sidecar/tests.Dockerfile")

    def _write_program(self, directory: Path) -> None:
        """What keeps the episode, with what it is told and what it needs."""
        directory.mkdir(parents=True)
        shutil.copy(_HERE / "sidecar.py", directory)
        host = "127.0.0.1" if self.how.single else "0.0.0.0"
        episode = {"reset": self.start.reset, "host": host, "port": PORT}
        if self._command is not None:
            episode["serve"] = self._command
            self._write_packages(directory / "packages")
        (directory / "episode.json").write_text(json.dumps(episode, indent=2) + "\n", encoding="utf-8")

    @property
    def _command(self) -> list[str] | None:
        """What starts a server beside the sidecar's program; None where that needs none."""
        if not is_url(self.how.target):
            return [f"{_VENV}/interop", "serve", self.how.target, "--port", "0", "--json", "--idle-timeout", _SILENCE]
        return None if self.survey.sessions else [f"{_VENV}/python", "-m", "converters.harbor.remote"]

    def _install(self) -> str:
        context = "openenv/packages" if self.how.single else "packages"
        return "" if self._command is None else self._filled("install.Dockerfile", packages=context)

    def _write_packages(self, directory: Path) -> None:
        """The requirements file of the image, and the files that it names."""
        directory.mkdir()
        extra = "" if is_url(self.how.target) else _EXTRAS.get(self.how.target.partition(":")[0], "")
        hub, lines = self.how.hub or f"openenv-interop{extra}=={__version__}", []
        path = file_of(hub)
        if path is not None and path.is_dir():
            for wheel in sorted(path.glob("*.whl")):
                shutil.copy(wheel, directory)
            lines += ["--no-index", f"--find-links {_PACKAGES}"]
            hub, path = f"openenv-interop{extra}", None
        for requirement, file, extras in ((hub, path, extra), *((it, file_of(it), "") for it in self.how.packages)):
            if file is not None:
                shutil.copy(file, directory)
            lines.append(requirement if file is None else f"{_PACKAGES}/{file.name}{extras}")
        (directory / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    # Texts

    def _tools(self) -> str:
        return "\n".join(_tool(tool) for tool in self.start.tools)

    def _first(self) -> str:
        """What no tool shows: without `observe` the instruction is the only place of the first observation."""
        if any(tool["name"] == "observe" for tool in self.start.tools) or not self.start.first:
            return ""
        return self._filled("first.md", text=_text(self.start.first))

    def _put(self, path: Path, template: str, *, quoted: bool = False, **parts: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._filled(template, quoted=quoted, **parts), encoding="utf-8")
        return path

    def _filled(self, template: str, *, quoted: bool = False, **parts: str) -> str:
        """A template with the task's values, which TOML and YAML have as strings of JSON, and parts as they are."""
        how, url = self.how, http_url(self.how.target) if is_url(self.how.target) else ""
        if not how.single and urlsplit(url).hostname in _LOOPBACK:  # which is the sidecar's own there
            url = url.replace(urlsplit(url).netloc, f"host.docker.internal:{urlsplit(url).port or 80}", 1)
        values = {
            "name": self.name,
            "environment": " ".join(self.survey.name.split()),
            "description": self.survey.description.strip(),
            "source": url or how.target,
            "url": url,
            "address": f"${{OPENENV_URL:-{url}}}",
            "token": "" if how.single else " Where it wants a bearer token, set INTEROP_TOKEN there.",
            "reset": json.dumps(self.start.reset),
            "reward": how.reward,
            "rule": _RULES[how.reward],
            "base_image": how.base_image,
        }
        shown = {key: json.dumps(value) if quoted else value for key, value in values.items()}
        text = (_TEMPLATES / f"{template}.tpl").read_text(encoding="utf-8")
        return Template(text).substitute({**shown, "port": PORT, **parts})


def file_of(requirement: str) -> Path | None:
    """The path that a requirement is, or looks like."""
    looks = requirement.startswith(("/", "./", "../")) or requirement.endswith((".whl", ".tar.gz"))
    path = Path(requirement)
    return path if "://" not in requirement and (looks or path.exists()) else None


def _tool(tool: Mapping[str, Any]) -> str:
    """A tool in a line: its arguments with their types, those that may be left out in brackets."""
    schema = tool.get("inputSchema") or {}
    needed = schema.get("required") or []
    shown = [
        f"{name}: {_type(part)}" if name in needed else f"[{name}: {_type(part)}]"
        for name, part in (schema.get("properties") or {}).items()
    ]
    return f"- `{tool['name']}({', '.join(shown)})` {' '.join(str(tool.get('description') or '').split())}".rstrip()


def _type(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "any"
    if "enum" in schema or "const" in schema:
        return " | ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " | ".join(_type(part) for part in schema["anyOf"])
    kind = schema.get("type", "any")
    limits = [f"{schema[key]}" if key in schema else "" for key in ("minimum", "maximum")]
    return f"{kind} {'..'.join(limits)}" if any(limits) else str(kind)


def _text(observation: Mapping[str, Any]) -> str:
    """An observation as text: the messages of a chat by their roles, anything else as JSON."""
    messages = observation.get("messages")
    if not isinstance(messages, list) or not all(isinstance(it, Mapping) and "content" in it for it in messages):
        return f"```json\n{json.dumps(observation, indent=2)}\n```"
    return "\n\n".join(f"**{it.get('role', 'message')}**: {_content(it['content'])}" for it in messages)


def _content(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content)
