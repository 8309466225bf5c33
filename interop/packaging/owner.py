"""Which process a container belongs to, and whether that still lives: what is left of a killed one is removed."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path

LABEL = "interop.owner"
"""Names the owner of a container."""


def owner() -> str:
    """This process: where it runs, its id, and when it began."""
    return _owner(os.getpid())


@lru_cache(maxsize=8)
def _owner(pid: int) -> str:
    return f"{_place()} {pid} {_began(pid) or os.urandom(8).hex()}"


def is_gone(text: str) -> bool:
    """Whether an owner was a process of this place, and has ended. Of other places nothing can be said."""
    place, _, rest = text.rpartition(" ")
    place, _, pid = place.rpartition(" ")
    return place == _place() and pid.isdigit() and _began(int(pid)) != rest


@lru_cache(maxsize=1)
def _place() -> str:
    """The machine since it was started, and what sees the same processes; a container sees only its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux: nobody is found to be gone
        return f"{platform.node()} {os.urandom(8).hex()}"


def _began(pid: int) -> str | None:
    """In clock ticks since the machine was started (`proc(5)`, field 22); None where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]
