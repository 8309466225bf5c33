"""Harbor tasks as data, read without harbor: what an agent may see of them, and what is wrong with their files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.harbor import registry
from converters.harbor.config import dotted, problems
from interop.errors import SourceError

DIRECTORY_SPLIT = "test"
"""The split of a task directory and of a directory of them."""

_CANARY = re.compile(r"(<!--.*canary.*-->|#.*canary.*)", re.IGNORECASE)
_MARKS = ("instruction.md", "environment", "tests", "solution", "steps")
"""What makes a directory without a task.toml an unfinished task rather than something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarborTask:
    """One task directory.

    Attributes:
        name: `[task] name` (`org/name`), or the directory's name where there is none, as harbor has it.
        path: The directory, absolute.
        config: `task.toml` as it stands, without defaults. It has secrets and answers: never for an agent.
        instruction: What the agent is told first, that of the first step in a task with steps; without canary lines.
        steps: Names of the steps; empty in a task without.
    """

    name: str
    path: Path
    config: Mapping[str, Any]
    instruction: str
    steps: tuple[str, ...]

    def public(self) -> dict[str, Any]:
        """The task for the Task API: what an agent may see before it begins, and nothing else.

        `agent_timeouts_sec` has a number for each step, or one; `None` is unlimited. Never there: tests, solution,
        verifier, environment variables, metadata, and what later steps ask for.
        """
        about = self.config.get("task", {})
        return {
            "id": self.name,
            "instruction": self.instruction,
            "description": about.get("description", ""),
            "keywords": list(about.get("keywords", ())),
            "steps": max(1, len(self.steps)),
            "agent_timeouts_sec": agent_timeouts(self.config),
            "network": network(self.config),
        }


def load(target: str, dataset: str | None = None) -> dict[str, list[HarborTask]]:
    """The tasks that a target names, by split.

    Args:
        target: A task directory or a directory of task directories, whose one split is "test"; or a registry, a JSON
            file of datasets, whose splits are its datasets: `name`, or `name@version` where it has several versions.
        dataset: `name` or `name@version` of a registry's dataset, which is then the only split.

    Raises:
        SourceError: There is no task, a task lacks a file or says something wrong, or two have one name.
    """
    splits = {split: [read(path) for path in paths] for split, paths in locate(target, dataset).items()}
    for tasks in splits.values():
        places: dict[str, Path] = {}
        for task in tasks:
            if task.name in places:
                raise SourceError(f"{task.path} and {places[task.name]} are both named {task.name!r}; rename one")
            places[task.name] = task.path
    return splits


def locate(target: str, dataset: str | None = None) -> dict[str, list[Path]]:
    """The task directories that a target names, by split, unread; see `load`."""
    path = Path(target).expanduser().resolve()
    if path.is_file():
        return registry.locate(path, dataset)
    if not path.exists():
        raise SourceError(f"{target} does not exist; name a task directory, a directory of them, or a registry's file")
    if dataset is not None:
        raise SourceError(f"{target} is a directory: it has no dataset {dataset!r}; only a registry's file has some")
    if (path / "task.toml").is_file():
        return {DIRECTORY_SPLIT: [path]}
    found = [child for child in sorted(path.iterdir()) if child.is_dir() and _looks_like_a_task(child)]
    if found:
        return {DIRECTORY_SPLIT: found}
    if _looks_like_a_task(path):
        raise SourceError(f"{path} is no task: task.toml is missing")
    raise SourceError(f"{path} has no tasks: neither it nor a directory in it has a task.toml")


def _looks_like_a_task(path: Path) -> bool:
    return (path / "task.toml").is_file() or sum((path / mark).exists() for mark in _MARKS) > 1


def read(path: Path) -> HarborTask:
    """The task of a directory. Raises `SourceError`, which names the file and the key or what is missing."""
    path = path.resolve()
    config = read_config(path)
    if wrong := [it for it in problems(config) if it.accepted is None]:
        raise SourceError(f"{path / 'task.toml'}: {dotted(wrong[0].key)} {wrong[0].message}")
    if missing := missing_files(path, config):
        raise SourceError(f"{path} is no task: {', '.join(missing)} is missing")
    steps = tuple(step["name"] for step in config.get("steps", ()))
    first = path / "steps" / steps[0] if steps else path
    return HarborTask(
        name=config.get("task", {}).get("name", path.name),
        path=path,
        config=config,
        instruction=without_canary(read_text(path, first / "instruction.md")),
        steps=steps,
    )


def read_config(path: Path) -> dict[str, Any]:
    """`task.toml` of a directory. Raises `SourceError` with the line where it is no TOML."""
    file = path / "task.toml"
    if not file.is_file():
        raise SourceError(f"{path} is no task: task.toml is missing")
    try:
        return tomllib.loads(read_text(path, file))
    except tomllib.TOMLDecodeError as exc:
        raise SourceError(f"{file} is no TOML: {exc}") from exc


def read_text(task: Path, file: Path) -> str:
    """A file of a task. Raises `SourceError` where a link leads out of the task, to a file of this machine."""
    if not file.resolve().is_relative_to(task):
        raise SourceError(f"{file} leads out of the task, to {file.resolve()}; copy the file into it")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise SourceError(f"{file} cannot be read as UTF-8 text: {exc}") from exc


def missing_files(path: Path, config: Mapping[str, Any]) -> list[str]:
    """What harbor asks for and is not there, relative to the task: instructions, environment, tests."""
    suffix = "bat" if str(config.get("environment", {}).get("os", "linux")).lower() == "windows" else "sh"
    steps = [step["name"] for step in config.get("steps", ())]
    wanted = [f"steps/{name}/instruction.md" for name in steps] or ["instruction.md"]
    missing = [file for file in wanted if not (path / file).is_file()]
    environment = config.get("environment", {})
    if not environment.get("docker_image") and not has_image(path / "environment"):
        missing.append("environment/Dockerfile")
    if not (path / f"tests/test.{suffix}").is_file() and not has_image(path / "tests") and not verifier_image(config):
        per_step = [f"steps/{name}/tests/test.{suffix}" for name in steps]
        missing += [it for it in per_step or [f"tests/test.{suffix}"] if not _is_tested(path / it)]
    return missing


def _is_tested(script: Path) -> bool:
    return script.is_file() or has_image(script.parent)


def has_image(directory: Path) -> bool:
    """Whether a directory says how its image is built."""
    return any((directory / name).is_file() for name in ("Dockerfile", "docker-compose.yaml"))


def verifier_image(config: Mapping[str, Any]) -> str | None:
    """The prebuilt image of a separate verifier, which brings its tests along."""
    image: str | None = config.get("verifier", {}).get("environment", {}).get("docker_image")
    return image


def without_canary(text: str) -> str:
    """An instruction without the canary comments at its top, as harbor shows it (its `strip_canary`)."""
    rest = text.split("\n")
    while rest and _CANARY.fullmatch(rest[0].strip()):
        rest.pop(0)
    while rest and not rest[0].strip():
        rest.pop(0)
    return "\n".join(rest)


def agent_timeouts(config: Mapping[str, Any]) -> list[float | None]:
    """Seconds that the agent has for each step, or in all where there are none; a step's own limit goes first."""
    whole = config.get("agent", {}).get("timeout_sec")
    return [step.get("agent", {}).get("timeout_sec", whole) for step in config.get("steps", ())] or [whole]


def network(config: Mapping[str, Any], phase: str = "agent") -> str:
    """The network mode in a phase, `agent` or `verifier`: "public", "no-network" or "allowlist"."""
    environment = config.get("environment", {})
    if phase == "verifier":
        environment = config.get("verifier", {}).get("environment", environment)
    oldest = "no-network" if environment.get("allow_internet") is False else "public"
    mode: str = config.get(phase, {}).get("network_mode") or environment.get("network_mode", oldest)
    return mode
