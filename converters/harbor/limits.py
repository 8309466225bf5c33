"""What a sandbox may use, and the cgroups (v1 and v2) that hold it to that where the kernel gives them to us."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MB = 1 << 20
NAME = "openenv-interop-"
RANGES, RANGE = (0x70000000, 4094), 65536
"""The first id and how many ranges of 65536: ids that systemd's list (UIDS-GIDS.md) leaves unused."""
KNOBS: Mapping[tuple[str, int], Mapping[str, str]] = {
    ("memory", 1): {"memory.limit_in_bytes": "{bytes}", "memory.memsw.limit_in_bytes": "{bytes}"},
    ("memory", 2): {"memory.max": "{bytes}", "memory.swap.max": "0"},
    ("pids", 1): {"pids.max": "{pids}"},
    ("pids", 2): {"pids.max": "{pids}"},
    ("cpu", 1): {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "{quota}"},
    ("cpu", 2): {"cpu.max": "{quota} 100000"},
}
"""Controller and version of cgroups → file → value. Only the first file (memory) or all (others) must exist."""
CONTROLLERS = ("memory", "pids", "cpu")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a sandbox may use.

    Its files are in memory (a tmpfs), and the kernel counts them there: the memory limit is `memory_mb` and the room
    for files together, so that files never take what the processes were promised.
    """

    memory_mb: int | None = None
    """MB for processes. None: three quarters of the machine's memory, files and all, so that the hub keeps its own."""
    storage_mb: int | None = None
    """MB for files. None: 10240, or half of the machine's memory if that is less."""
    cpus: float | None = None
    """None: all of them."""
    pids: int = 4096
    """Processes and threads; more than a parallel build or a Java server has, far less than the machine's."""

    @property
    def storage(self) -> int:
        """Bytes."""
        return self.storage_mb * MB if self.storage_mb else min(_machine() // 2, 10240 * MB)

    @property
    def memory(self) -> int:
        """Bytes, with files."""
        return self.memory_mb * MB + self.storage if self.memory_mb else _machine() * 3 // 4


def _machine() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class Slot:
    """A number that no other sandbox on the machine has while `fd` is open, by a lock on one byte of a file.

    It names the sandbox's cgroups, and its range of user and group ids where the hub is root.
    """

    def __init__(self) -> None:
        self.fd = os.open(_lock_file(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        first = os.getpid() * 61 % RANGES[1]
        for turn in range(RANGES[1]):
            self.number = (first + turn) % RANGES[1]
            if self._lock(self.number):
                return
        self.close()
        raise OSError(f"all {RANGES[1]} places for sandboxes on this machine are taken")

    @property
    def ids(self) -> int | None:
        """The host's id of the sandbox's root. None: it is the hub's own, and the only one."""
        return RANGES[0] + self.number * RANGE if os.geteuid() == 0 else None

    def is_free(self, number: int) -> bool:
        """Whether nobody has that number."""
        if number == self.number or not self._lock(number):
            return False
        self._lock(number, fcntl.F_UNLCK)
        return True

    def close(self) -> None:
        """Give it back, once every process that has `fd` has ended."""
        os.close(self.fd)

    def _lock(self, number: int, kind: int = fcntl.F_WRLCK) -> bool:
        # The lock is the open file description's (fcntl(2)): the keeper and PID 1 have it until they end.
        wanted = struct.pack("hhqqi4x", kind, os.SEEK_SET, number, 1, 0)
        try:
            fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, wanted)
        except (BlockingIOError, PermissionError):
            return False
        return True


def _lock_file() -> str:
    if os.geteuid() == 0:
        return "/run/openenv-interop.lock"
    return f"{os.environ.get('XDG_RUNTIME_DIR') or '/tmp'}/openenv-interop-{os.geteuid()}.lock"


def make_cgroups(slot: Slot, limits: Limits) -> tuple[list[str], dict[str, str]]:
    """The new cgroups of a sandbox, and the name of every limit → what enforces it."""
    how = {
        "memory": "none: there is no memory cgroup that the hub may use",
        "pids": f"RLIMIT_NPROC: {limits.pids} for each user",
        "cpu": "none: all CPUs" if limits.cpus is None else "none: there is no cpu cgroup that the hub may use",
        "storage": f"tmpfs: {limits.storage // MB} MB",
    }
    made: list[Path] = []
    values = {"bytes": limits.memory, "pids": limits.pids, "quota": int(100_000 * (limits.cpus or 0))}
    for controller in CONTROLLERS if limits.cpus is not None else CONTROLLERS[:2]:
        for parent, version in _parents(controller):
            path = parent / f"{NAME}{slot.number}"
            if path not in made:
                remove_dead(parent, slot)
            if _make(path, controller, version, values):
                made = [*made, path] if path not in made else made
                how[controller] = f"cgroup v{version}: {_told(controller, limits)}"
                break
    return [str(path) for path in made], {"cpus" if name == "cpu" else name: text for name, text in how.items()}


def _told(controller: str, limits: Limits) -> str:
    if controller == "memory":
        return f"{limits.memory // MB} MB with files"
    return str(limits.pids) if controller == "pids" else f"{limits.cpus:g}"


def _make(path: Path, controller: str, version: int, values: Mapping[str, int]) -> bool:
    """Whether the cgroup is there and has the limit; if not, nothing is left."""
    try:
        if version == 2:
            with contextlib.suppress(OSError):  # it may be there already, or not ours to give
                (path.parent / "cgroup.subtree_control").write_text(f"+{controller}")
        path.mkdir(exist_ok=True)
        for turn, (name, value) in enumerate(KNOBS[controller, version].items()):
            try:
                (path / name).write_text(value.format(**values))
            except OSError:
                if controller != "memory" or turn == 0:  # a kernel without accounting of swap has only the first
                    raise
    except OSError:
        with contextlib.suppress(OSError):
            if version == 1:
                path.rmdir()
        return False
    return True


def _parents(controller: str) -> list[tuple[Path, int]]:
    """Where a cgroup with that controller may be made, best first, and which version it is of.

    Under the hub's own, whose limits then hold too; with version 2 also beside it, since a cgroup that has processes
    gives its controllers to none below it (cgroups(7), "no internal processes").
    """
    found: list[tuple[Path, int]] = []
    for line in _lines("/proc/self/cgroup"):
        _, names, own = line.split(":", 2)
        version = 2 if not names else 1
        if version == 1 and controller not in names.split(","):
            continue
        for mounted in _mounted(version, controller, own):
            found.append((mounted, version))
            if version == 2 and (mounted.parent / "cgroup.subtree_control").exists():
                found.append((mounted.parent, version))
    return found


def _mounted(version: int, controller: str, own: str) -> list[Path]:
    """The directory of the cgroup `own`, where that hierarchy is mounted (proc(5), mountinfo)."""
    for line in _lines("/proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        known = kind == "cgroup2" if version == 2 else kind == "cgroup" and controller in options.split(",")
        if not known:
            continue
        root, point = before.split(" ")[3:5]
        if own == root or own.startswith(root.rstrip("/") + "/"):
            return [Path(point) / os.path.relpath(own, root)]
    return []


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def remove_dead(parent: Path, slot: Slot) -> None:
    """Remove the cgroups under `parent` of sandboxes whose keeper was killed."""
    for path in parent.glob(f"{NAME}*"):
        number = path.name.removeprefix(NAME)
        if number.isdigit() and (int(number) == slot.number or slot.is_free(int(number))):
            with contextlib.suppress(OSError):  # its last process is still ending
                path.rmdir()


@functools.cache
def enforceable() -> frozenset[str]:
    """The limits that a cgroup holds a sandbox to here, of memory, pids and cpus."""
    slot = Slot()
    try:
        made, how = make_cgroups(slot, Limits(cpus=1))
        for path in made:
            os.rmdir(path)
    finally:
        slot.close()
    return frozenset(name for name, text in how.items() if text.startswith("cgroup"))
