"""Writes a package that verifiers installs, whose environment is an OpenEnv server."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from converters.verifiers.expose.rollout import Server
from interop import __version__
from interop.errors import SourceError

_TEMPLATES = Path(__file__).parent / "templates"


def write(url: str, directory: Path, *, name: str | None = None, v0: bool = False, token: str | None = None) -> str:
    """Write the package into a directory that is empty or not there.

    Args:
        url: The server, which must be running.
        directory: Where to.
        name: The package's name; by default the environment's.
        v0: Whether it is for the v0 API.
        token: The server's bearer token. It is not written: the package takes INTEROP_TOKEN.

    Returns the package's name.

    Raises:
        SourceError: The directory is not empty, or the name is none for a package.
        ConnectError: No server is there.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise SourceError(f"{directory} is there and not empty; name a new directory")
    server = Server(url, token=token)
    slug = re.sub(r"[^a-z0-9]+", "-", (name or server.name).lower()).strip("-")
    module = slug.replace("-", "_")
    if not module.isidentifier() or keyword.iskeyword(module) or module in ("verifiers", "interop", "converters"):
        raise SourceError(f"{name or server.name!r} is no name for a package; give another one with --name")
    values = {
        "name": slug,
        "module": module,
        "environment": " ".join(server.name.split()),
        "url": server.url,
        "version": __version__,
    }
    api = "v0" if v0 else "v1"
    files = {"pyproject.toml": f"pyproject_{api}.toml", "README.md": f"readme_{api}.md", f"{module}.py": f"{api}.py"}
    directory.mkdir(parents=True, exist_ok=True)
    for file, template in files.items():
        text = Template((_TEMPLATES / f"{template}.tpl").read_text(encoding="utf-8")).substitute(values)
        (directory / file).write_text(text, encoding="utf-8")
    return slug
