"""Where a task is played: in namespaces without Docker, in Docker, or in place, inside the task's own container."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from converters.harbor.lint import lint
from converters.harbor.sandbox import usable
from converters.harbor.tasks import HarborTask
from interop.doctor import docker
from interop.errors import SourceError

_VARIABLE = re.compile(r"\$\{([^}:]+)(?::-.*)?\}", re.DOTALL)
SANDBOXES = ("auto", "namespace", "docker", "inplace")


@dataclass(frozen=True)
class Sandboxes:
    """The sandboxes of a source.

    Attributes:
        wanted: One of `SANDBOXES`; auto is namespace for the tasks that it can play, else docker.
        network: `public` for the namespace sandbox to let tasks out that do not ask for it.
        rootfs: A directory that the namespace sandbox takes for its root.
    """

    wanted: str
    network: str | None = None
    rootfs: str | None = None

    def environment(self, task: HarborTask) -> dict[str, Any]:
        """harbor's configuration of a task's environment. Raises `SourceError` where nothing here can play the task."""
        chosen = self._choose(task) if self.wanted == "auto" else self.wanted
        if chosen == "docker":
            return {"import_path": "converters.harbor.docker:DockerEnvironment"}
        if chosen == "inplace":
            kwargs = {"hidden": sorted(secrets(task.config))}
            return {"import_path": "converters.harbor.inplace:InplaceEnvironment", "kwargs": kwargs}
        given = {"network": self.network, "rootfs": self.rootfs}
        return {
            "import_path": "converters.harbor.namespace:NamespaceEnvironment",
            "kwargs": {key: value for key, value in given.items() if value is not None},
        }

    def _choose(self, task: HarborTask) -> str:
        why_not = usable() or _refusal(task)
        if why_not is None:
            return "namespace"
        if (no_docker := _docker_trouble()) is None:
            return "docker"
        raise SourceError(f"{task.name} cannot be played here: namespace: {why_not}; docker: {no_docker}")


def secrets(config: Mapping[str, Any]) -> set[str]:
    """The variables of the hub that the verifiers of a task have: of `"${NAME}"` and `"${NAME:-default}"`."""
    values = [value for part in (config, *config.get("steps", ())) for value in _variables(part).values()]
    return {found[1] for found in map(_VARIABLE.fullmatch, values) if found}


def _variables(part: Mapping[str, Any]) -> Mapping[str, str]:
    variables: Mapping[str, str] = part.get("verifier", {}).get("env", {})
    return variables


@cache
def _docker_trouble() -> str | None:
    """Why this machine has no Docker for harbor; None where it has."""
    found = docker()
    return None if found.works else found.says


def _refusal(task: HarborTask) -> str | None:
    """Why the namespace sandbox cannot play a task."""
    return next((found.message for found in lint(task.path) if found.rule == "sandbox-namespace"), None)
