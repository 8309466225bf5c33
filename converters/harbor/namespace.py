"""harbor's environment without Docker: `harbor run -e converters.harbor:NamespaceEnvironment`."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from harbor.environments.base import BaseEnvironment, ExecResult, SandboxBuildFailedError
from harbor.environments.capabilities import EnvironmentCapabilities, EnvironmentResourceCapabilities
from harbor.environments.definition import require_agent_environment_definition
from harbor.models.task.config import EnvironmentConfig, NetworkMode, NetworkPolicy
from harbor.models.trial.config import ResourceMode
from harbor.models.trial.paths import EnvironmentPaths

from converters.harbor.build import BuildFailed, build
from converters.harbor.command import SandboxTimeout
from converters.harbor.dockerfile import Image, NeedsDocker, plan
from converters.harbor.limits import Limits, enforceable
from converters.harbor.perform import Executed
from converters.harbor.sandbox import Sandbox, usable
from converters.harbor.transfer import get, put


class NamespaceEnvironment(BaseEnvironment):
    """A harbor environment in Linux namespaces.

    Args:
        network: `public`: let the task out though its task.toml does not say `network_mode = "public"` itself.
            `isolated`: never. None: as task.toml says, and isolated where it says nothing (harbor would say public).
        rootfs: A directory that stands in for the image; None: the host's /usr does.
    """

    def __init__(self, *args: Any, network: str | None = None, rootfs: str | None = None, **kwargs: Any) -> None:
        if network not in (None, "public", "isolated"):
            raise ValueError(f"network is {network!r}; accepted are public and isolated")
        self._rootfs = Path(rootfs) if rootfs else None
        if self._rootfs is not None and not self._rootfs.is_dir():
            raise ValueError(f"rootfs is {rootfs!r}, which is no directory")
        self._wanted_network = network
        # BaseEnvironment.__init__ asks for the capabilities, which follow from this.
        config = kwargs.get("task_env_config") or next(arg for arg in args if isinstance(arg, EnvironmentConfig))
        self._public = network == "public" or (network is None and asks_for_public(config))
        self._image = Image()
        self._sandbox: Sandbox | None = None
        super().__init__(*args, **kwargs)

    # What it can do

    @staticmethod
    def type() -> str:
        return "namespace"

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        # A sandbox that is isolated anyway can go from public to no-network and back; one that is let out stays out.
        return EnvironmentCapabilities(disable_internet=True, dynamic_network_policy=not self._public)

    @classmethod
    def resource_capabilities(cls) -> EnvironmentResourceCapabilities:
        can = enforceable()
        return EnvironmentResourceCapabilities(
            memory_limit="memory" in can, cpu_limit="cpus" in can, fractional_cpus=True
        )

    @classmethod
    def preflight(cls, kwargs: dict[str, Any] | None = None) -> None:
        super().preflight(kwargs)
        if (why_not := usable()) is not None:
            raise SystemExit(f"the namespace sandbox cannot be used here: {why_not}")

    def validate_network_policy_support(self, network_policy: NetworkPolicy | None = None) -> None:
        policy = network_policy or self.network_policy
        if policy.network_mode == NetworkMode.ALLOWLIST:
            raise ValueError("network_mode = 'allowlist' needs Docker: the namespace sandbox lets out to all or none")
        super().validate_network_policy_support(policy)

    async def _apply_network_policy(self, network_policy: NetworkPolicy) -> None:
        if network_policy.network_mode == NetworkMode.PUBLIC and self._restricted:
            raise ValueError(
                "a phase has network_mode = 'public' and the environment has not: make the environment public as well, "
                "or use Docker"
            )

    def _validate_definition(self) -> None:
        self._restricted = self.network_policy.network_mode != NetworkMode.PUBLIC
        require_agent_environment_definition(self.environment_dir, docker_image=self.task_env_config.docker_image)
        if (self.environment_dir / "docker-compose.yaml").exists():
            raise NeedsDocker(1, "docker-compose.yaml", "services beside the main one")
        if self._host_mounts:
            raise ValueError(f"mounts of the host need Docker: {self._host_mounts}")
        dockerfile = self.environment_dir / "Dockerfile"
        if dockerfile.exists():
            self._image = plan(dockerfile.read_text())
        else:
            self._image.base = self.task_env_config.docker_image or ""

    # Its life

    async def start(self, force_build: bool) -> None:
        """Raises SandboxError, or SandboxBuildFailedError for what the Dockerfile says."""
        self._sandbox = Sandbox(
            rootfs=self._rootfs,
            limits=Limits(
                memory_mb=self._resource_limit_value("memory", auto_mode=ResourceMode.LIMIT),
                cpus=self._resource_limit_value("cpu", auto_mode=ResourceMode.LIMIT),
                storage_mb=self._effective_storage_mb,
            ),
            network="public" if self._public else "isolated",
            hostname=re.sub(r"[^a-zA-Z0-9-]", "-", self.environment_name)[:60] or "sandbox",
        )
        try:
            await self._sandbox.start()
            self._tell(self._sandbox)
            await self._build(self._sandbox)
        except BaseException:
            await asyncio.shield(self.stop(delete=True))
            raise

    def _tell(self, sandbox: Sandbox) -> None:
        """What is not as the task has it."""
        stand_in = f"the root file system {self._rootfs}" if self._rootfs else "the host's /usr"
        self.logger.warning(f"the image {self._image.base} is not used: {stand_in} stands in for it")
        if not self._public and not self._restricted:
            self.logger.warning("no network: task.toml does not say network_mode = 'public' itself")
        for name, asked in (("memory", self._effective_memory_mb), ("cpus", self._effective_cpus)):
            if asked is not None and sandbox.limits[name].startswith("none"):
                self.logger.warning(f"the limit {name} = {asked} is not enforced: {sandbox.limits[name]}")

    async def _build(self, sandbox: Sandbox) -> None:
        try:
            await build(sandbox, self._image, self.environment_dir)
        except BuildFailed as exc:
            raise SandboxBuildFailedError(f"{self.environment_name}: Dockerfile: {exc}") from exc
        logs = [EnvironmentPaths.agent_dir, EnvironmentPaths.verifier_dir, EnvironmentPaths.artifacts_dir]
        if self.task_env_config.workdir:
            await sandbox.run(["mkdir", "-p", "--", self.task_env_config.workdir])
        await self.ensure_dirs([*logs, *self._mount_targets(writable_only=True)])
        await self._upload_environment_dir_after_start()

    async def stop(self, delete: bool) -> None:
        """What is in the sandbox ends with it, whether it is to be deleted or not."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            await sandbox.stop()

    # Commands and files

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """Raises RuntimeError when it takes longer than `timeout_sec`, as harbor's own environments do."""
        user = self._resolve_user(user)
        try:
            done = await self._running().run(
                ["bash", "-c", command],
                cwd=cwd or self.task_env_config.workdir or self._image.workdir,
                env={**self._image.env, **(self._merge_env(env) or {})},
                user=self._image.user if user is None else user,
                timeout=timeout_sec or None,
            )
        except SandboxTimeout as exc:  # a TimeoutError would be taken for the end of the whole phase
            raise RuntimeError(f"Command timed out after {timeout_sec} seconds") from exc
        return Executed(
            stdout=done.stdout.decode(errors="replace"),
            stderr=done.stderr.decode(errors="replace"),
            return_code=done.code,
            left_out=done.cut_stdout + done.cut_stderr,
        )

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        source = Path(source_path)
        if target_path.endswith("/") or await self.is_dir(target_path, user="root"):
            target_path = f"{target_path.rstrip('/')}/{source.name}"
        await put(self._running(), source, target_path)

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        await put(self._running(), Path(source_dir), target_dir)

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        await get(self._running(), source_path, Path(target_path))

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        for line in await get(self._running(), source_dir, Path(target_dir)):
            self.logger.warning(f"download of {source_dir}: left out {line}")

    def _running(self) -> Sandbox:
        if self._sandbox is None:
            raise RuntimeError("the environment is not running; start it first")
        return self._sandbox


def asks_for_public(config: EnvironmentConfig) -> bool:
    """Whether task.toml itself says so: harbor's default is public."""
    said = config.model_fields_set
    return ("network_mode" in said and config.network_mode == NetworkMode.PUBLIC) or config.allow_internet is True
