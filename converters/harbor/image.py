"""A task as the image that plays it: what the image begins with, and which tasks cannot be one.

`interop package` finds it as `HarborSource.own_image()`. Nothing here needs harbor.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from converters.harbor.rebased import BASE, STAGE, Rebased, ignored, rebased
from converters.harbor.tasks import HarborTask, agent_timeouts, network, read_text
from interop.errors import SourceError

_SHOWN = 5
"""Names of tasks in an error."""
_LEFT_OUT = ("solution", ".git")
_VERIFIER = 600.0
"""Seconds that harbor's verifier has where nothing is said."""


@dataclass(frozen=True)
class TaskImage:
    """What `interop.packaging.own_image.OwnImage` says, of one task.

    Attributes:
        task: The task.
        arguments: Those of the source that hold in the image too.
    """

    task: HarborTask
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.task.name.rpartition("/")[2]

    @property
    def query(self) -> str:
        return f"?{urlencode(self.arguments)}" if self.arguments else ""

    @property
    def memory_mb(self) -> int:
        return int(self._environment.get("memory_mb") or 0)

    @property
    def cpus(self) -> float:
        return float(self._environment.get("cpus") or 0)

    @property
    def seconds(self) -> float | None:
        agents = agent_timeouts(self.task.config)
        if None in agents:
            return None
        steps = self.task.config.get("steps") or [self.task.config]
        verifiers = [it.get("verifier", {}).get("timeout_sec", _VERIFIER) for it in steps]
        return float(sum(it for it in agents if it is not None) + sum(verifiers))

    def stages(self, directory: str, base_image: str | None) -> tuple[str, str]:
        made = self._stages(f"{directory}/{self.task.path.name}/environment", base_image)
        return made.text, made.stage

    def ignored(self, directory: str) -> list[str]:
        place, file = f"{directory}/{self.task.path.name}/environment", self.task.path / "environment/.dockerignore"
        if not self._is_built or not file.is_file():
            return []
        return ignored(read_text(self.task.path, file), place)

    def copies(self, directory: str, target: str) -> str:
        name = self.task.path.name
        if not self._is_built:
            return _copy(f"{directory}/{name}", f"{target}/{name}")
        # What the image is made of is in it already. harbor asks for a Dockerfile, and this one is as good as any.
        rest = [f"{name}/{path.name}" for path in sorted(self._copied)]
        lines = [_copy(f"{directory}/{it}", f"{target}/{it}") for it in rest]
        return "".join([_copy("Dockerfile", f"{target}/{name}/environment/"), *lines])

    def write(self, directory: Path) -> None:
        shutil.copytree(self.task.path, directory / self.task.path.name, symlinks=True, ignore=self._left_out)

    # Inside

    @property
    def _environment(self) -> Mapping[str, Any]:
        environment: Mapping[str, Any] = self.task.config.get("environment", {})
        return environment

    @property
    def _is_built(self) -> bool:
        """Whether its Dockerfile is; harbor takes an image that is named before that."""
        return not self._environment.get("docker_image")

    @property
    def _copied(self) -> list[Path]:
        return [path for path in self.task.path.iterdir() if path.name not in (*_LEFT_OUT, "environment")]

    def _left_out(self, place: str, names: list[str]) -> list[str]:
        """Solutions, which nobody needs to play a task."""
        task, directory = self.task.path, Path(place)
        return [it for it in names if it in _LEFT_OUT and (directory == task or directory.parent == task / "steps")]

    def _stages(self, context: str, base_image: str | None) -> Rebased:
        if not self._is_built:
            image = base_image or self._environment["docker_image"]
            return Rebased(f"ARG {BASE}={image}\nFROM ${{{BASE}}} AS {STAGE}\n", STAGE)
        file = self.task.path / "environment/Dockerfile"
        return rebased(f"{self.task.name}: {file.name}", read_text(self.task.path, file), context, base_image)


def task_image(target: str, splits: Mapping[str, list[HarborTask]], arguments: Mapping[str, Any]) -> TaskImage:
    """The image of the only task.

    Args:
        target: What the source is called by.
        splits: Its tasks.
        arguments: Those of the source; those that are None were not given.

    Raises:
        SourceError: There are several tasks, the task cannot be played in one container by whoever runs it, or an
            argument has no meaning there.
    """
    tasks = [task for tasks in splits.values() for task in tasks]
    if len(tasks) != 1:
        shown = ", ".join(str(task.path) for task in tasks[:_SHOWN]) + (", ..." if len(tasks) > _SHOWN else "")
        raise SourceError(
            f"harbor:{target} has {len(tasks)} tasks, and an image plays one; write a package of each: {shown}"
        )
    given = {key: f"{value}" for key, value in arguments.items() if value is not None}
    for key in given:
        if key not in ("reward_key", "agent_timeout"):
            raise SourceError(
                f"harbor:{target}: {key} has no place in an image, where the task is played; leave it out"
            )
    image = TaskImage(tasks[0], given)
    if (why := next(_refusals(tasks[0]), None)) is not None:
        raise SourceError(
            f"{tasks[0].name} cannot be played in one image: {why}; serve it where Docker is: "
            f"interop serve harbor:{target} --sandbox docker"
        )
    image.stages("", None)  # what its Dockerfile says
    return image


def _refusals(task: HarborTask) -> Iterator[str]:
    """What one container cannot have that somebody else starts, with the network that it gets."""
    config, environment = task.config, task.config.get("environment", {})
    if (task.path / "environment/docker-compose.yaml").is_file():
        yield "environment/docker-compose.yaml has services beside it"
    if str(environment.get("os", "linux")).lower() != "linux":
        yield f"environment.os is {environment['os']!r}, and the hub's images are of Linux"
    for key in ("gpus", "tpu"):
        if environment.get(key):
            yield f"environment.{key} is {environment[key]!r}, which a container cannot give itself"
    steps = [(f"steps[{number}].", step) for number, step in enumerate(config.get("steps", ()))]
    for where, part in [("", config), *steps]:
        verifier = part.get("verifier", {})
        if verifier.get("environment_mode") == "separate":
            yield f"{where}verifier.environment_mode is 'separate': the verifier has a container of its own"
        if "environment_mode" not in verifier and "environment" in verifier:
            yield f"{where}verifier.environment: the verifier has a container of its own"
        for phase in ("agent", "verifier"):
            if (mode := network({**config, phase: part.get(phase, {})}, phase)) != "public":
                yield f"{_network_key(where, phase, part)} is {mode!r}, which a container cannot impose on itself"
        for hook in [*verifier.get("collect", ()), *part.get("artifacts", ())]:
            if isinstance(hook, dict) and hook.get("service", "main") != "main":
                yield f"{where}service = {hook['service']!r} is another container"


def _network_key(where: str, phase: str, part: Mapping[str, Any]) -> str:
    return f"{where}{phase}.network_mode" if "network_mode" in part.get(phase, {}) else "environment.network_mode"


def _copy(source: str, target: str) -> str:
    """An instruction, in the form that takes spaces."""
    return f"COPY {json.dumps([source, target])}\n"
