"""The program as a user runs it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

COMMAND = [sys.executable, "-m", "interop"]
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("INTEROP_", "OPENENV_"))}


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The finished program."""
    options = {"env": ENVIRONMENT, "capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run([*COMMAND, *map(str, arguments)], **options)


@contextlib.contextmanager
def serving(*arguments: object, **options: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A running `interop serve` on a free port, and what it says of itself."""
    options = {"env": ENVIRONMENT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    with subprocess.Popen([*COMMAND, "serve", *map(str, arguments), "--port", "0"], **options) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()
