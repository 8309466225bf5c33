"""The sandbox that is there already: the server runs inside the task's own container, which plays one episode."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import pwd
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harbor.environments.base import BaseEnvironment, ExecResult
from harbor.environments.capabilities import EnvironmentCapabilities
from harbor.models.trial.paths import EnvironmentPaths

from converters.harbor.perform import Executed
from converters.harbor.pipes import Capped

HIDDEN = "INTEROP_"
"""Variables of the server that commands do not get: its token is among them."""
USER = "INTEROP_USER"
"""Names a file with the UID:GID of commands that are nobody's: those of the image, where the server itself is root."""
MOST = 16_777_216
"""Bytes of each stream of a command that are kept."""
_used = False


class InplaceEnvironment(BaseEnvironment):
    """For `--sandbox inplace`.

    The container's image is the task's, its network is what the container was started with, and its file system is
    used up by one episode. Where agents run as root nothing in it is safe from them, the server included.

    Args:
        hidden: Variables of the server that commands do not get: what the verifier alone is given.
    """

    def __init__(self, *args: Any, hidden: Sequence[str] = (), **more: Any) -> None:
        self._groups: set[int] = set()
        self._hidden = frozenset(hidden)
        super().__init__(*args, **more)

    @staticmethod
    def type() -> str:
        return "inplace"

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        """Nothing can be changed from inside."""
        return EnvironmentCapabilities()

    def _validate_definition(self) -> None:
        if (self.environment_dir / "docker-compose.yaml").exists():
            raise ValueError("a task of several containers cannot be played inside one of them; use --sandbox docker")

    async def start(self, force_build: bool) -> None:
        """Make harbor's directories, and copy the files of an image that was there already.

        Raises:
            RuntimeError: It is the second episode.
        """
        global _used
        if _used:
            raise RuntimeError("this container has played its episode; start a new one")
        _used = True
        directories = (EnvironmentPaths.agent_dir, EnvironmentPaths.verifier_dir, EnvironmentPaths.artifacts_dir)
        await self.ensure_dirs([str(directory) for directory in directories])
        await self._upload_environment_dir_after_start()

    async def stop(self, delete: bool) -> None:
        """Kill what commands have left running."""
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._groups.clear()

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """Run a command. Raises `RuntimeError` where its time is up; its process group is killed then."""
        variables = {key: value for key, value in os.environ.items() if not self._is_hidden(key)}
        variables |= self._merge_env(env) or {}
        who = self._resolve_user(user)
        process = await asyncio.create_subprocess_exec(
            *(_there(cwd, command) if cwd else ("bash", "-c", command)),
            cwd=self.task_env_config.workdir,
            env=variables,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            **_identity(_image_user() if who is None else who, variables),
        )
        self._groups.add(process.pid)
        output, errors = Capped(MOST), Capped(MOST)
        readers = [
            asyncio.create_task(_read(process.stdout, output)),
            asyncio.create_task(_read(process.stderr, errors)),
        ]
        try:
            await asyncio.wait_for(process.wait(), timeout_sec)
            await asyncio.wait(readers, timeout=0.2)  # what it has left running may hold the pipes
        except BaseException as exc:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(exc, TimeoutError):
                raise RuntimeError(f"Command timed out after {timeout_sec} seconds") from None
            raise
        finally:
            for reader in readers:
                reader.cancel()
        return Executed(
            stdout=output.value().decode(errors="replace"),
            stderr=errors.value().decode(errors="replace"),
            return_code=_code(process.returncode or 0),
            left_out=output.cut + errors.cut,
        )

    def _is_hidden(self, variable: str) -> bool:
        return variable.startswith(HIDDEN) or variable in self._hidden

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        target = Path(target_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source_path, target)

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        shutil.copytree(source_dir, target_dir, symlinks=True, dirs_exist_ok=True)

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        Path(target_path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source_path, target_path)

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        shutil.copytree(source_dir, target_dir, symlinks=True, dirs_exist_ok=True)


def _there(cwd: str, command: str) -> tuple[str, ...]:
    """A command in a directory that its own user can enter: the server, which starts it, may enter any."""
    return "bash", "-c", 'CDPATH= cd -- "$1" && exec bash -c "$2"', "bash", cwd, command


def _code(status: int) -> int:
    """As a shell has it: 128 and the signal's number."""
    return status if status >= 0 else 128 - status


async def _read(stream: asyncio.StreamReader | None, into: Capped) -> None:
    """Read to the end."""
    while stream is not None and (chunk := await stream.read(65_536)):
        into.feed(chunk)


def _image_user() -> str | None:
    """Whose the image's own commands are; None where the server's user is that one."""
    file = os.environ.get(USER)
    return Path(file).read_text(encoding="utf-8").strip() if file else None


def _identity(user: str | int | None, variables: dict[str, str]) -> dict[str, Any]:
    """The arguments of a process that is a user's, whose home its variables get.

    As Docker has it a user is NAME or UID, with `:GROUP` or `:GID` where that is not its own, and a number needs no
    entry anywhere.

    Raises:
        RuntimeError: There is no such user or group.
    """
    if user is None:
        return {}
    name, _, group = str(user).partition(":")
    entry = _user(name)
    uid = int(name) if entry is None else entry.pw_uid
    gid = _group(group) if group else 0 if entry is None else entry.pw_gid
    if uid == os.geteuid() and (not group or gid == os.getegid()):
        return {}
    variables["HOME"] = "/" if entry is None else entry.pw_dir
    if entry is not None:
        variables["USER"] = entry.pw_name
    groups = [gid] if entry is None or gid != entry.pw_gid else os.getgrouplist(entry.pw_name, gid)
    return {"user": uid, "group": gid, "extra_groups": groups}


def _user(name: str) -> pwd.struct_passwd | None:
    """The entry of a user; a number may have none."""
    try:
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        if name.isdigit():
            return None
        raise RuntimeError(f"there is no user {name!r} in this container") from None


def _group(name: str) -> int:
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise RuntimeError(f"there is no group {name!r} in this container") from None
