"""What an image installs: requirement files, and the wheels that they name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interop import __version__
from interop.errors import SourceError
from interop.packaging.application import OWN
from interop.packaging.lock import locked

if TYPE_CHECKING:
    from interop.packaging.interpreter import Interpreter

HUB = "openenv-interop"
PLACE = "/opt/packages"
"""Where the directory is while the image is built."""
IN_WHEELS = "# The wheels beside this are all that is installed."
_EXTRAS = {"gym": "[gymnasium]", "harbor": "[harbor]"}
_BESIDES = {"openenv": ["openenv"]}
"""What a converter needs beside the hub, which has no extra for it."""
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_FILE = re.compile(r"(?P<name>[A-Za-z0-9_.]+?)-(?P<version>[0-9][A-Za-z0-9_.!+]*?)(-.*\.whl|\.tar\.gz)$")


@dataclass(frozen=True)
class Requirements:
    """What a package needs.

    Attributes:
        converter: Which converter serves it.
        hub: The hub: a requirement, a wheel or sdist, or a directory of wheels, from which alone is installed then.
        packages: More requirements, wheels or sdists.
    """

    converter: str
    hub: str | None = None
    packages: Sequence[str] = ()

    def check(self) -> None:
        """Raises `SourceError` for what is not there."""
        for text in filter(None, (self.hub, *self.packages)):
            if (path := file_of(text)) is not None and not path.exists():
                raise SourceError(f"{path} is not there")
        for text in self.packages:
            if (path := file_of(text)) is not None and path.is_dir():
                raise SourceError(f"{text} is a directory; make a wheel of it: pip wheel --no-deps {text}")
        hub = file_of(self.hub) if self.hub is not None else None
        if hub is not None and hub.is_dir() and not any(_is_hub(wheel) for wheel in hub.glob("*.whl")):
            raise SourceError(
                f"{hub} has no wheel of the hub; make all of them: pip wheel --wheel-dir {hub} "
                f"'{HUB}{_EXTRAS.get(self.converter, '')}'"
            )

    @property
    def named(self) -> list[str]:
        """The packages, a file as what it has."""
        return [*_BESIDES.get(self.converter, ()), *map(_by_name, self.packages)]

    @property
    def declared(self) -> list[str]:
        """The dependencies of the project; outside of images uv makes the interpreter that an environment has."""
        if self.converter in OWN:
            return [f"{HUB}[{self.converter}]>={__version__}"]
        return [f"{HUB}{_EXTRAS.get(self.converter, '')}>={__version__}", *self.named]

    def write(self, directory: Path, own: Interpreter | None = None) -> None:
        """Write the requirement files, and the files that they name, into a directory that is not there.

        `lock.txt` holds all else that is installed to the releases that are here, unless it is in the wheels. The
        environment's own interpreter has `environment.txt`, with the packages, and `environment.lock.txt`.
        """
        directory.mkdir()
        given = [plain_name(it) for it in self.packages]
        hub, only = self.hub or f"{HUB}=={__version__}", []
        if (path := file_of(hub)) is not None and path.is_dir():
            for wheel in sorted(path.glob("*.whl")):
                shutil.copy(wheel, directory)
            hub, only = HUB, ["--no-index", f"--find-links {PLACE}"]
        packages = [_placed(it, directory) for it in self.packages]
        installed = [
            _with_extra(_placed(hub, directory), _EXTRAS.get(self.converter, "")),
            *_BESIDES.get(self.converter, ()),
        ]
        _write(directory / "requirements.txt", [*only, *installed, *(packages if own is None else ())])
        here = [f"{HUB}{_EXTRAS.get(self.converter, '')}", *installed[1:], *(self.packages if own is None else ())]
        _write(directory / "lock.txt", [IN_WHEELS] if only else locked(here, [HUB, *given]))
        if own is not None:
            _write(directory / "environment.txt", [*only, *own.requirements, *packages])
            releases = [it for it in own.releases if plain_name(it) not in given]
            _write(directory / "environment.lock.txt", [IN_WHEELS] if only else releases)


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _placed(requirement: str, directory: Path) -> str:
    """A requirement as an image has it; a file is copied."""
    file = file_of(requirement)
    if file is None:
        return requirement
    shutil.copy(file, directory)
    return f"{PLACE}/{file.name}"


def _with_extra(requirement: str, extra: str) -> str:
    name, equals, version = requirement.partition("==")
    return requirement if "[" in requirement else f"{name}{extra}{equals}{version}"


def file_of(requirement: str) -> Path | None:
    """The path that a requirement is, or looks like."""
    looks = requirement.startswith(("/", "./", "../")) or requirement.endswith((".whl", ".tar.gz"))
    path = Path(requirement)
    return path if "://" not in requirement and (looks or path.exists()) else None


def plain_name(requirement: str) -> str:
    """The name of a requirement, by which two are the same."""
    path = file_of(requirement)
    named = _NAME.match(path.name.partition("-")[0] if path is not None else requirement)
    return re.sub(r"[-_.]+", "-", named[0].lower()) if named else requirement


def _by_name(requirement: str) -> str:
    """A requirement of what a file has, which is nowhere else."""
    path = file_of(requirement)
    found = _FILE.match(path.name) if path is not None else None
    return requirement if found is None else f"{found['name'].replace('_', '-')}=={found['version']}"


def _is_hub(wheel: Path) -> bool:
    return wheel.name.startswith(f"{HUB.replace('-', '_')}-")
