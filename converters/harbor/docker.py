"""harbor's Docker, which stops at once, ends commands whose time is up, and has `no-network` without a registry."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from harbor.environments.base import ExecResult
from harbor.environments.capabilities import EnvironmentCapabilities
from harbor.environments.docker import COMPOSE_NO_NETWORK_PATH
from harbor.environments.docker.docker import DockerEnvironment as HarborDocker
from harbor.models.task.config import NetworkMode, NetworkPolicy

from converters.harbor.pipes import CHUNK

COMPOSE = Path(__file__).parent / "docker-compose-stop.yaml"
GRACE = 5
"""Seconds beyond a command's own, in which the container is to have killed it."""
KILLED = (124, 137)
"""Exit codes of `timeout`, after SIGTERM and after SIGKILL."""


class DockerEnvironment(HarborDocker):
    """For `harbor run -e converters.harbor.docker:DockerEnvironment`, and for `--sandbox docker`.

    harbor's `sleep infinity` ignores SIGTERM for ten seconds, and what a command that timed out has started goes on.
    For `no-network` harbor pulls two images; Compose's `network_mode: none` needs none, but cannot change later.
    """

    def __init__(self, *args: Any, extra_docker_compose: Sequence[Path | str] | None = None, **more: Any) -> None:
        super().__init__(*args, extra_docker_compose=[*(extra_docker_compose or ()), COMPOSE], **more)

    @staticmethod
    def _requires_egress_control(
        *, startup_network_policy: NetworkPolicy, phase_network_policies: Sequence[NetworkPolicy]
    ) -> bool:
        policies = [startup_network_policy, *phase_network_policies]
        return any(policy.network_mode == NetworkMode.ALLOWLIST for policy in policies) or any(
            policy != startup_network_policy for policy in policies
        )

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        return super().capabilities.model_copy(update={"disable_internet": True})

    @property
    def _docker_compose_paths(self) -> list[Path]:
        none = self._network_disabled and not self._enable_egress_control
        return [*super()._docker_compose_paths, *([COMPOSE_NO_NETWORK_PATH] if none else [])]

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """As harbor's; a command that has a time is killed in the container when that is up."""
        if not timeout_sec or self._is_windows_container:
            return await super().exec(command, cwd=cwd, env=env, timeout_sec=timeout_sec, user=user)
        run = f"bash -c {quote(command)}"
        guarded = f"command -v timeout >/dev/null && exec timeout -k 1 {timeout_sec} {run}; exec {run}"
        began = time.monotonic()
        done = await super().exec(guarded, cwd=cwd, env=env, timeout_sec=timeout_sec + GRACE, user=user)
        if done.return_code in KILLED and time.monotonic() - began >= timeout_sec:
            raise RuntimeError(f"Command timed out after {timeout_sec} seconds")
        return done

    @staticmethod
    async def _collect_streamed_output(process: Any, **how: Any) -> ExecResult:
        return await HarborDocker._collect_streamed_output(_ReadOn(process), **how)

    @staticmethod
    async def _collect_buffered_output(process: Any, **how: Any) -> ExecResult:
        return await HarborDocker._collect_buffered_output(_ReadOn(process), **how)


class _ReadOn:
    """A process whose output is read on when it is told to end.

    asyncio's `wait` returns when the pipes are at their end, and harbor waits so after it has stopped reading: where
    the command has written much, for ever.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._reading: asyncio.Task[None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)

    def terminate(self) -> None:
        self._process.terminate()
        self._reading = asyncio.create_task(self._read_on())

    async def _read_on(self) -> None:
        stream = self._process.stdout
        while stream is not None and await stream.read(CHUNK):
            pass
