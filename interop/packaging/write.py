"""Writes a source as a complete OpenEnv package, which the official tools validate, build, push and start."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any

from interop import __version__
from interop.errors import SourceError
from interop.packaging.application import Application
from interop.packaging.interpreter import COPY, Interpreter, interpreter_of
from interop.packaging.models import Module, prose
from interop.packaging.names import Names, named
from interop.packaging.needs import needed
from interop.packaging.own_image import ALONE, OwnImage, own_image_of, texts
from interop.packaging.requirements import PLACE, Requirements
from interop.packaging.survey import SEED, Survey, survey
from interop.sources import is_url

BASE_IMAGE = "python:3.13-slim"
_COPIED = ("verifiers", "harbor")
"""Converters whose sources may be a path, of which a package has a copy."""
SOURCE = "source"
"""The directory of a package that has a copy of a source that is a directory."""
_TEMPLATES = Path(__file__).parent / "templates"
_FILES = {
    "openenv.yaml": "openenv.yaml",
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "Dockerfile": "Dockerfile",
    ".dockerignore": "dockerignore",
    "discovery.json": "discovery.json",
    "__init__.py": "init.py",
    "client.py": "client.py",
    "models.py": "models.py",
    "server/__init__.py": "server/init.py",
    "server/app.py": "server/app.py",
}
_MEGABYTE = 1024 * 1024
_MEMORY_STEP = 256
_LEAST = 512
"""Megabytes."""
_LONGEST = 3600.0
"""Seconds of an episode that the official policy allows (`validation/policies/severity-v2.json`)."""


@dataclass(frozen=True)
class Package:
    """What has been written.

    Attributes:
        names: The package's names.
        survey: The environment.
        files: The files.
    """

    names: Names
    survey: Survey
    files: Sequence[Path]


def write(
    source: str,
    directory: Path,
    *,
    name: str | None = None,
    base_image: str | None = None,
    hub: str | None = None,
    packages: Sequence[str] = (),
) -> Package:
    """Write the package into a directory that is empty or not there.

    Args:
        source: What it serves; it is played for this.
        directory: Where to.
        name: The package's name, as `my_env`; by default that of the environment.
        base_image: What the image begins with; it has Python 3.12 or newer as `python3`, with `venv`. By default
            BASE_IMAGE, or what the source's own image begins with.
        hub: The hub that the image installs: a requirement, a wheel or sdist, or a directory of wheels, from which
            alone is installed then.
        packages: What the environment needs: requirements, wheels or sdists.

    Raises:
        SourceError: The directory is not empty, the official tools refuse the name, the source cannot be described or
            packaged, or a file is not there.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise SourceError(f"{directory} is there and not empty; name a new directory")
    converter, _, target = source.partition(":")
    _check(source, converter, target)
    requirements = Requirements(converter, hub, packages)
    requirements.check()
    if name is not None:
        named(name, name)  # before the environment is played
    served = Application(source, packages=packages).source()
    own = own_image_of(served)
    found = survey(source, served)
    if own is not None:
        found.trouble = ALONE
    names = named(name, own.name if own is not None else found.description.env_name or found.description.name)
    requirements = replace(requirements, packages=[*packages, *needed(source, found.description, packages)])
    text = _Text(source, names, found, requirements, interpreter_of(served), own, base_image)
    directory.mkdir(parents=True, exist_ok=True)
    text.write(directory)
    return Package(names, found, sorted(path for path in directory.rglob("*") if path.is_file()))


def _check(source: str, converter: str, target: str) -> None:
    """Raises `SourceError` for what no image can have."""
    path = target.partition("?")[0]
    if is_url(source):
        raise SourceError(f"{source} is a server already; name the source that it serves, such as gym:CartPole-v1")
    if converter == "openenv" and (Path(path) / "openenv.yaml").is_file():
        raise SourceError(f"{path} is an OpenEnv package already; build it: openenv build {path}")
    if converter not in _COPIED and path and (path.startswith((".", "/")) or Path(path).exists()):
        raise SourceError(
            f"{source} is a path of this machine, which images do not have; make a wheel of it, give that by --with, "
            "and name what it installs"
        )


@dataclass(frozen=True)
class _Text:
    """What the files of one package say."""

    source: str
    names: Names
    found: Survey
    requirements: Requirements
    interpreter: Interpreter | None
    own: OwnImage | None
    base_image: str | None

    def write(self, directory: Path) -> None:
        """Write all of them."""
        values = self._values()
        more = {f"server/{self.names.name}_environment.py": "server/environment.py"}
        if self.own is not None:
            more["Dockerfile"] = "own.Dockerfile"
        for file, template in {**_FILES, **more}.items():
            self._put(directory / file, _filled(template, values))
        if not self.found.trouble:
            self._put(directory / "validation/runtime.json", json.dumps(self._plan(), indent=2) + "\n")
        self.requirements.write(directory / "packages", self.interpreter)
        if self.interpreter is not None and self.interpreter.directory is not None:
            ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", "*.egg-info")
            shutil.copytree(self.interpreter.directory, directory / SOURCE, ignore=ignored)
        if self.own is not None:
            self.own.write(directory / SOURCE)

    def _put(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _plan(self) -> dict[str, Any]:
        """The runtime plan of the official validator."""
        reset = {"episode_id": "validation", "seed": SEED, "options": {}}
        return {"plan_schema_version": "1", "reset": reset, "actions": self.found.actions}

    def _values(self) -> dict[str, str]:
        names, about = self.names, self.found.description
        description = " ".join(about.description.split())
        low, high = self.found.rewards
        return {
            "name": names.name,
            "prefix": names.prefix,
            "distribution": names.distribution,
            "image": names.image,
            "title": " ".join(about.name.split()),
            "quoted_title": _quoted(about.name),
            "label": _quoted(description).replace("$", "\\$"),
            "description": description,
            "prose": prose(description),
            "quoted_description": _quoted(description),
            "source": self.source,
            "serves": self._serves(),
            "import_path": "\nfrom pathlib import Path\n" if self._copies else "",
            "ecosystem": self.requirements.converter,
            "version": __version__,
            "dependencies": "\n".join(f"    {_quoted(it)}," for it in self.requirements.declared),
            "base_image": self.base_image or BASE_IMAGE,
            "place": PLACE,
            "about_image": _filled("image.README.md" if self.own is None else "own.README.md", {}),
            **({"ignored": ""} if self.own is None else texts(self.own, SOURCE, self.base_image)),
            "interpreter": self._part("interpreter.Dockerfile", self.interpreter is not None),
            "has_interpreter": self._part("has_interpreter.Dockerfile", self.interpreter is not None),
            # What was seen
            "episodes": str(self.found.episodes),
            "low": f"{low:g}",
            "high": f"{high:g}",
            "range": json.dumps([math.floor(min(0.0, low)), math.ceil(max(1.0, high))]),
            **self._resources(),
            "task_api": json.dumps(bool(self.found.tasks)),
            "tools": json.dumps(list(self.found.tools)),
            "tasks": json.dumps(self.found.tasks),
            "execution": self._execution(),
            # What is generated
            "models": str(self._models()),
        }

    def _resources(self) -> dict[str, str]:
        """What an episode needs, as was seen, or as the source says."""
        own, seen = self.own, self.found
        told = None if own is None else own.seconds
        seconds = math.ceil(20 * seen.seconds) if told is None else told
        least = max(_LEAST, 0 if own is None else own.memory_mb)
        return {
            "cpus": f"{(None if own is None else own.cpus) or 1.0}",
            "least": str(least),
            "memory": str(max(least, _rounded(2 * seen.memory))),
            "timeout": json.dumps(min(_LONGEST, max(60.0, seconds))),
        }

    @property
    def _copies(self) -> bool:
        return self.own is not None or (self.interpreter is not None and self.interpreter.directory is not None)

    def _serves(self) -> str:
        """The arguments of `Application`."""
        if self.own is not None:
            served = f"{self.requirements.converter}:{SOURCE}{self.own.query}"
            return f"{_quoted(served)}, directory=Path(__file__).parents[1]"
        if self.interpreter is None:
            return _quoted(self.source)
        query = self.source.partition("?")
        named = f"verifiers:{SOURCE}{query[1]}{query[2]}" if self._copies else self.source
        place = ", directory=Path(__file__).parents[1]" if self._copies else ""
        packages = self.requirements.named
        return f"{_quoted(named)}{place}{f', packages={json.dumps(packages)}' if packages else ''}"

    def _part(self, template: str, wanted: bool) -> str:
        copy = f"COPY {SOURCE} {COPY}\nCOPY {SOURCE} /app/env/{SOURCE}\n" if self._copies else ""
        return _filled(template, {"place": PLACE, "copy": copy}) if wanted else ""

    def _execution(self) -> str:
        if self.found.trouble:
            return f"  # The official validator cannot play it: {self.found.trouble}.\n"
        return _filled("execution.yaml", {})

    def _models(self) -> Module:
        about, module = self.found.description, Module()
        for part, base in (("action", "Action"), ("observation", "Observation"), ("state", "State")):
            doc = {"action": "What a step takes.", "observation": "What is seen.", "state": "Where it stands."}[part]
            module.add(f"{self.names.prefix}{base}", base, getattr(about, part), doc)
        return module


def _rounded(bytes: int) -> int:
    """Megabytes, in steps."""
    return math.ceil(bytes / _MEGABYTE / _MEMORY_STEP) * _MEMORY_STEP


def _quoted(text: str) -> str:
    """A text as TOML, YAML, Python and Dockerfiles have it."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def _filled(template: str, values: dict[str, str]) -> str:
    return Template((_TEMPLATES / f"{template}.tpl").read_text(encoding="utf-8")).substitute(values)
