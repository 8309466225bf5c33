"""What an environment's own interpreter has, for sources whose environments run in one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from interop.environment import Source
from interop.packaging.requirements import PLACE

_RELEASES = """
import json
from importlib.metadata import distributions
print(json.dumps([(it.name.lower(), it.version, it.read_text("direct_url.json")) for it in distributions()]))
"""
COPY = f"{PLACE}/source"
"""Where the copy of a directory is while an image is built."""


@dataclass(frozen=True)
class Interpreter:
    """The interpreter of a verifiers environment.

    Attributes:
        target: The environment's package, or its directory.
        verifiers: The release of verifiers that it was played with.
        releases: All that it has but what was built here, as `name==release`, by name.
    """

    target: str
    verifiers: str
    releases: Sequence[str] = ()

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
    done = subprocess.run([str(made.python), "-c", _RELEASES], capture_output=True, text=True, check=True)
    there = sorted(json.loads(done.stdout))
    (verifiers,) = [release for name, release, _ in there if name == "verifiers"]
    releases = [f"{name}=={release}" for name, release, built in there if built is None and "+" not in release]
    return Interpreter(wanted.target, verifiers, releases)
