"""What a run says of itself: the machine, its load, and the code that is measured."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

from tests.benchmarks.processes import ROOT


def description() -> dict[str, str]:
    """Date, machine, load and revision."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": f"{os.cpu_count()} cores, {_processor()}, {platform.system()}, Python {platform.python_version()}",
        "load average": load,
        "revision": revision(),
    }


def revision() -> str:
    """The commit of the code measured; an edit during a run is measured in part, as processes start throughout it."""
    code = ("--", "interop", "converters")
    try:
        # Without its lock: others may use the repository at the same time.
        commit, edits = (
            subprocess.run(
                ["git", "--no-optional-locks", "-C", ROOT, *command, *code], capture_output=True, text=True, timeout=10
            )
            for command in (("log", "-1", "--format=%h"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return (commit.stdout.strip() or "unknown") + ("-edited" if edits.stdout.strip() else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
