"""A good task with changes, for tests of what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CONFIG = """\
schema_version = "1.4"

[task]
name = "org/made"

[agent]
timeout_sec = 60
"""
GOOD = {
    "task.toml": CONFIG,
    "instruction.md": "Write one.txt.\n",
    "environment/Dockerfile": "FROM python:3.13-slim\nWORKDIR /app\n",
    "tests/test.sh": "#!/bin/bash\n[ -e /app/one.txt ] && r=1 || r=0\necho $r > /logs/verifier/reward.txt\n",
    "solution/solve.sh": "#!/bin/bash\ntouch one.txt\n",
}
"""The files of a task that nothing is wrong with."""


def make(path: Path, changes: Mapping[str, str | None] | None = None, *, more: str = "") -> Path:
    """A task directory: the good one with changed files (None: without it), and more of `task.toml`."""
    for name, text in {**GOOD, **(changes or {})}.items():
        if text is None:
            continue
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((text + (more if name == "task.toml" else "")).encode())
    return path
