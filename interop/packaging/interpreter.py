"""What an environment's own interpreter has, for sources whose environments run in one."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from interop.environment import Source
from interop.packaging.requirements import PLACE

COPY = f"{PLACE}/source"
"""Where the copy of a directory is while an image is built."""


@dataclass(frozen=True)
class Interpreter:
    """The interpreter of a verifiers environment.

    Attributes:
        target: The environment's package, or its directory.
        verifiers: The release of verifiers that it was played with.
    """

    target: str
    verifiers: str

    @property
    def directory(self) -> Path | None:
        """The environment's directory, if it is one."""
        path = Path(self.target)
        return path if path.is_dir() else None

    @property
    def requirements(self) -> list[str]:
        """What is installed beside the packages that were asked for."""
        return [self.target if self.directory is None else COPY, f"verifiers=={self.verifiers}"]


def interpreter_of(source: Source) -> Interpreter | None:
    """The interpreter that a source has made for its environments; None where they run in the hub's."""
    wanted = getattr(source, "wanted", None)
    if wanted is None:
        return None
    made = import_module(f"{type(source).__module__.rpartition('.')[0]}.interpreter").prepare(wanted)
    code = "from importlib.metadata import version; print(version('verifiers'))"
    found = subprocess.run([str(made.python), "-c", code], capture_output=True, text=True, check=True).stdout
    return Interpreter(wanted.target, found.strip())
