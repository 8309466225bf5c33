"""A sandbox of Linux namespaces: no Docker, no daemon, no privilege where the kernel allows that.

The commands of a sandbox see the host's /usr (or `rootfs`) under a layer of their own, a small /etc, and nothing else
of the host: no files, processes, environment, users or network. All they write is in memory that ends with the sandbox.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from converters.harbor.command import KILL_TIMEOUT, Completed, SandboxError, SandboxTimeout, Sink, Stdin, follow
from converters.harbor.limits import Limits, Slot, make_cgroups
from converters.harbor.pipes import Reader

SCRIPT = Path(__file__).parent / "sandbox_init.py"
OUTPUT_LIMIT = 1 << 20
"""Bytes kept of each stream of a command."""
START_TIMEOUT = 30.0
STREAMS_LEFT = 64
"""Streams of ended commands that their background processes still have, and that are read so that those go on."""

type Network = Literal["isolated", "public"]


class Sandbox:
    """One sandbox, used from one event loop.

    Args:
        rootfs: A directory with a whole root file system, which is only read. None: the host's /usr.
        limits: What it may use; `limits` tells what enforces each of them.
        network: `isolated` has loopback and nothing else. `public` reaches the internet through slirp4netns, never the
            host's loopback.
        hostname: Its own name.
    """

    def __init__(
        self,
        *,
        rootfs: Path | None = None,
        limits: Limits | None = None,
        network: Network = "isolated",
        hostname: str = "sandbox",
    ) -> None:
        self._rootfs = rootfs
        self._wanted = limits or Limits()
        self._network = network
        self._hostname = hostname
        self.limits: Mapping[str, str] = {}
        """Name of a limit → what enforces it, or why nothing does."""
        self.usr_writable = False
        """Whether root in the sandbox may change what is in /usr (its own copy), as in a container."""
        self._keeper: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._left: list[Reader] = []

    async def start(self) -> None:
        """Raises SandboxError with what the kernel refused."""
        program = _network_program() if self._network == "public" else None
        slot = Slot()
        cgroups, self.limits = make_cgroups(slot, self._wanted)
        ours, theirs = socket.socketpair()
        config = {
            "control": theirs.fileno(),
            "base": slot.ids,
            "count": 65536,
            "lower": str(self._rootfs.resolve()) if self._rootfs else "/usr",
            "whole": self._rootfs is not None,
            "storage": self._wanted.storage,
            "pids": self._wanted.pids,
            "cgroups": cgroups,
            "network": program,
            "hostname": self._hostname,
        }
        self._control = ours
        try:
            self._keeper = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(SCRIPT), json.dumps(config)),
                env={},
                cwd="/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(), slot.fd),
                start_new_session=True,  # a Ctrl-C at the hub's terminal is the hub's matter
            )
            theirs.close()
            async with asyncio.timeout(START_TIMEOUT):
                answer = await self._first_line()
        except BaseException as exc:
            await asyncio.shield(self.stop())
            if isinstance(exc, TimeoutError):
                raise SandboxError(f"the sandbox was not ready after {START_TIMEOUT:g} s", "start") from exc
            raise
        finally:
            theirs.close()
            slot.close()
        if "error" in answer:
            said = await self._last_words()
            await self.stop()
            told = f"the sandbox cannot be started: {answer['at']}: {answer['error']}"
            raise SandboxError(f"{told}: {said}" if said else told, str(answer["at"]))
        self.usr_writable = bool(answer["usr_writable"])

    async def run(
        self,
        command: str | Sequence[str],
        *,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        user: str | int = "root",
        stdin: Stdin = b"",
        timeout: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
        sinks: tuple[Sink | None, Sink | None] = (None, None),
    ) -> Completed:
        """Run a command to its end. What it leaves in the background goes on until `stop`.

        Args:
            command: Arguments, or a line for `sh -c`.
            env: All that it gets, besides PATH and HOME where they are not in it.
            user: NAME, UID, NAME:GROUP or UID:GID, by the sandbox's own /etc/passwd.
            stdin: Bytes, or a function that writes them, called in a thread; what it raises is raised.
            sinks: Called with what stdout and stderr say, as it comes, instead of keeping it.

        Raises:
            SandboxTimeout: It was killed, with its whole session, as it is when this coroutine is cancelled.
            SandboxError: The sandbox has ended, or has no process left to give.
        """
        request = {
            "argv": ["sh", "-c", command] if isinstance(command, str) else list(command),
            "cwd": cwd,
            "env": dict(env or {}),
            "user": str(user),
            "stdin": bool(stdin),
        }
        hub = self._ask()
        try:
            async with asyncio.timeout(timeout):
                done, still_open = await follow(hub, request, stdin, output_limit, sinks)
        except TimeoutError as exc:
            raise SandboxTimeout(f"no end after {timeout:g} s; the command was killed: {_shown(command)}") from exc
        finally:
            hub.close()
        self._keep(still_open)
        return done

    async def stop(self) -> None:
        """End every process of the sandbox; its files are gone with them."""
        for reader in self._left:
            reader.close()
        self._left.clear()
        if self._control is not None:
            self._control.close()  # which PID 1 takes for the end
            self._control = None
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        try:
            async with asyncio.timeout(KILL_TIMEOUT):
                await keeper.communicate()
        except TimeoutError:
            keeper.kill()  # PID 1 follows it
            await keeper.wait()

    async def _first_line(self) -> dict[str, object]:
        assert self._control is not None
        self._control.setblocking(False)
        data = b""
        while not data.endswith(b"\n"):
            chunk = await asyncio.get_running_loop().sock_recv(self._control, 1 << 16)
            if not chunk:
                said = await self._last_words() or "nothing was said"
                raise SandboxError(f"the sandbox ended before it was ready: {said}", "start")
            data += chunk
        answer: dict[str, object] = json.loads(data.splitlines()[0])
        return answer

    async def _last_words(self) -> str:
        assert self._keeper is not None
        assert self._keeper.stderr is not None
        return (await self._keeper.stderr.read(4096)).decode(errors="replace").strip()

    def _ask(self) -> socket.socket:
        """The socket of a new command, whose other end PID 1 has."""
        if self._control is None:
            raise SandboxError("the sandbox is not running; start it first")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                socket.send_fds(self._control, [b"r"], [theirs.fileno()])
            except OSError as exc:
                ours.close()
                raise SandboxError(f"the sandbox has ended: {exc}") from exc
        return ours

    def _keep(self, readers: Sequence[Reader]) -> None:
        """Go on reading what background processes say, and drop it: a pipe without a reader would end them."""
        self._left = [reader for reader in self._left if reader.open]
        for reader in readers:
            reader.sink = _drop
            self._left.append(reader)
        while len(self._left) > STREAMS_LEFT:
            self._left.pop(0).close()


def _drop(data: bytes) -> None:
    del data


def _shown(command: str | Sequence[str]) -> str:
    text = command if isinstance(command, str) else " ".join(command)
    return repr(text if len(text) <= 200 else text[:197] + "...")


def _network_program() -> str:
    found = shutil.which("slirp4netns")
    if found is None:
        raise SandboxError(
            "the network is wanted to be public, which needs slirp4netns, and it is not installed; install it (Debian: "
            "apt-get install slirp4netns), or use Docker, or run the task isolated",
            "network",
        )
    return found


@functools.cache
def usable() -> str | None:
    """None where a sandbox starts and runs a command here; otherwise why not, and the way out."""
    if not sys.platform.startswith("linux"):
        return f"the sandbox needs Linux namespaces, and this is {sys.platform}; use Docker"
    try:
        with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop in its own
            return thread.submit(lambda: asyncio.run(_try())).result()
    except (SandboxError, OSError) as exc:
        return f"{exc}. {_way_out(exc.at if isinstance(exc, SandboxError) else '')}"


async def _try() -> str | None:
    sandbox = Sandbox(limits=Limits(storage_mb=16))
    await sandbox.start()
    try:
        done = await sandbox.run(["true"], timeout=KILL_TIMEOUT)
    finally:
        await sandbox.stop()
    return (
        None if done.code == 0 else f"a command in the sandbox failed: {done.stderr.decode(errors='replace').strip()}"
    )


def _way_out(at: str) -> str:
    if _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1" and os.geteuid():
        setting = "kernel.apparmor_restrict_unprivileged_userns"
        return f"AppArmor restricts user namespaces here: run as root, or `sysctl {setting}=0`"
    if _sysctl("kernel/unprivileged_userns_clone") == "0" and os.geteuid():
        return "User namespaces are for root here: run as root, or `sysctl kernel.unprivileged_userns_clone=1`"
    if _sysctl("user/max_user_namespaces") == "0":
        return "User namespaces are off here: `sysctl user.max_user_namespaces=10000`"
    if at.startswith("mount of overlay"):
        return "Overlays in user namespaces need Linux 5.11; use Docker on this machine"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        options = "--security-opt seccomp=unconfined --security-opt systempaths=unconfined"
        return f"This is a container: start it with `{options}`, or use Docker on the host"
    return "Use Docker on this machine"


def _sysctl(name: str) -> str | None:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return None
