"""Writes a package that verifiers installs, whose environment is an OpenEnv server, or one that it serves itself."""

from __future__ import annotations

import json
import keyword
import re
from pathlib import Path
from string import Template

from converters.verifiers.expose.rollout import Server
from interop import __version__
from interop.errors import SourceError
from interop.packaging.needs import needed
from interop.providers import image_of
from interop.sources import is_url, to_source

_HUB = "openenv-interop"
_EXTRAS = {"gym": "gymnasium"}
_RUNS = "The server must be running. Where it wants a bearer token, set `INTEROP_TOKEN`."
_TEMPLATES = Path(__file__).parent / "templates"


def write(target: str, directory: Path, *, name: str | None = None, v0: bool = False, token: str | None = None) -> str:
    """Write the package into a directory that is empty or not there.

    Args:
        target: The address of a server that runs; or a source or an image, which the package serves itself.
        directory: Where to.
        name: The package's name; by default the environment's.
        v0: Whether it is for the v0 API.
        token: The server's bearer token. It is not written: the package takes INTEROP_TOKEN.

    Returns the package's name.

    Raises:
        SourceError: The directory is not empty, the name is none for a package, or no package can serve the source.
        ConnectError: No server is there.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise SourceError(f"{directory} is there and not empty; name a new directory")
    needs = _needs(target)
    server = Server(target, token=token)
    slug = re.sub(r"[^a-z0-9]+", "-", (name or server.name).lower()).strip("-")
    module = slug.replace("-", "_")
    if not module.isidentifier() or keyword.iskeyword(module) or module in ("verifiers", "interop", "converters"):
        raise SourceError(f"{name or server.name!r} is no name for a package; give another one with --name")
    values = {
        "name": slug,
        "module": module,
        "environment": " ".join(server.name.split()),
        "url": server.url if is_url(target) else target,
        "running": _RUNS if is_url(target) else "The process that plays it serves it.",
        "needs": "".join(f"{json.dumps(it)}, " for it in needs),
    }
    api = "v0" if v0 else "v1"
    files = {"pyproject.toml": f"pyproject_{api}.toml", "README.md": f"readme_{api}.md", f"{module}.py": f"{api}.py"}
    directory.mkdir(parents=True, exist_ok=True)
    for file, template in files.items():
        text = Template((_TEMPLATES / f"{template}.tpl").read_text(encoding="utf-8")).substitute(values)
        (directory / file).write_text(text, encoding="utf-8")
    return slug


def _needs(target: str) -> list[str]:
    """What the package installs beside verifiers. Raises `SourceError` for a source that it cannot serve."""
    if is_url(target):
        return [f"{_HUB}>={__version__}"]
    if (image := image_of(target)) is not None:
        return [f"{_HUB}[{image.text.partition(':')[0]}]>={__version__}"]
    converter, _, rest = target.partition(":")
    path = rest.partition("?")[0]
    if converter == "verifiers":
        raise SourceError(f"{target} is an environment of verifiers already: {path} is the package")
    if converter == "openenv":
        raise SourceError(
            f"{target} needs openenv, which cannot be installed beside verifiers; serve it, and name its address"
        )
    if path and (path.startswith((".", "/")) or Path(path).exists()):
        raise SourceError(
            f"{target} is a path of this machine, which packages do not have; serve it, and name its address"
        )
    found = needed(target, to_source(target).describe(), ())
    return [f"{_HUB}[{_EXTRAS.get(converter, converter)}]>={__version__}", *found]
