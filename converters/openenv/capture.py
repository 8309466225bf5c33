"""What an official package serves: its app module is imported while openenv's own server class is watched."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interop.errors import SourceError

ACCEPTED = "module:Class, module:app, or a package directory with an openenv.yaml"


@dataclass(slots=True)
class Served:
    """One `HTTPEnvServer`.

    Attributes:
        server: The official object; it knows the factory and the classes, and has validated them.
        asked: How many sessions the package asked for; None where it left that open.
        app: The application its routes are registered on.
    """

    server: Any
    asked: int | None = None
    app: Any = None


_seen: list[Served] = []
"""Every server of this process, since a module is imported once but may be named again."""


def require_openenv() -> None:
    """Import openenv, or say how to get it."""
    try:
        import openenv.core.env_server  # noqa: F401
    except ImportError as exc:
        raise SourceError(
            f"an openenv: source needs the official openenv package, which {sys.executable} cannot import ({exc}). "
            "Run `pip install openenv openenv-interop` in a virtual environment of its own, because openenv and "
            "verifiers exclude each other, and serve from there."
        ) from exc


def load(module: str, attribute: str, *roots: Path) -> tuple[Any, list[Served]]:
    """Import `module` and take `attribute`; with it, every server that was set up meanwhile.

    Args:
        module: Dotted name.
        attribute: A name in it, dots allowed.
        roots: Directories to find it in; `sys.path` where there are none.
    """
    paths = [str(root) for root in roots if str(root) not in sys.path]
    sys.path[:0] = paths
    with _watched() as served:
        try:
            found: Any = functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
        except BaseException as exc:
            sys.path[:] = [path for path in sys.path if path not in paths]
            if isinstance(exc, ImportError | AttributeError) or not isinstance(exc, Exception):
                raise
            raise SourceError(f"importing {module} failed with {type(exc).__name__}: {exc}") from exc
    return found, served


def load_package(directory: Path) -> Served:
    """Import the app that a package's `openenv.yaml` names, and return what it serves."""
    directory = directory.resolve()
    reference = _manifest(directory).get("app") or "server.app:app"
    module, _, attribute = str(reference).partition(":")
    # Packages run as `server.app` inside their directory (the official image does), or as `<name>.server.app`.
    ways = [(module, directory)]
    if (directory / "__init__.py").exists() and directory.name.isidentifier():
        ways.append((f"{directory.name}.{module}", directory.parent))
    if _shadowed(directory):
        ways.reverse()
    failures: list[str] = []
    for name, root in ways:
        try:
            app, served = load(name, attribute or "app", root)
            if not _inside(sys.modules[name], directory):
                raise ImportError(f"{name} is another package's, imported before; use a process for each")
            return choose(app, served, f"{name}:{attribute or 'app'} of {directory}")
        except (ImportError, AttributeError) as exc:
            failures.append(f"as {name} in {root}: {type(exc).__name__}: {exc}")
            _forget(directory)
    raise SourceError(f"{directory} cannot be imported. " + "; ".join(failures))


def choose(app: Any, served: list[Served], reference: str) -> Served:
    """The server behind `app`; the only one there is, where `app` was built around it."""
    behind = [one for one in _seen if one.app is app and one.app is not None] or served
    if len(behind) != 1:
        raise SourceError(
            f"{reference} sets up {len(behind)} OpenEnv servers while it is imported; one call of openenv's create_app "
            "(or create_fastapi_app) at the module's top level is needed, in a module that nobody imported before. "
            f"Accepted are {ACCEPTED}."
        )
    return behind[0]


def _manifest(directory: Path) -> dict[str, Any]:
    path = directory / "openenv.yaml"
    if not path.is_file():
        raise SourceError(f"{directory} has no openenv.yaml. Accepted are {ACCEPTED}.")
    try:
        manifest = importlib.import_module("yaml").safe_load(path.read_text(encoding="utf-8"))
    except Exception as exc:
        raise SourceError(f"{path} cannot be read: {exc}") from exc
    if not isinstance(manifest, dict):
        raise SourceError(f"{path} is not a mapping")
    return manifest


def _shadowed(directory: Path) -> bool:
    """Whether another package's `server`, `models` or the like has been imported already."""
    names = {path.stem for path in directory.iterdir() if path.suffix == ".py" or path.is_dir()}
    return any(name in sys.modules and not _inside(sys.modules[name], directory) for name in names)


def _forget(directory: Path) -> None:
    for name in [name for name, module in sys.modules.items() if _inside(module, directory)]:
        del sys.modules[name]


def _inside(module: Any, directory: Path) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(isinstance(place, str) and Path(place).is_relative_to(directory) for place in places)


@contextmanager
def _watched() -> Iterator[list[Served]]:
    """Record every `HTTPEnvServer`: `create_app` and `create_fastapi_app` of any version end in one."""
    from openenv.core.env_server.http_server import HTTPEnvServer

    init, register = HTTPEnvServer.__init__, HTTPEnvServer.register_routes
    served: list[Served] = []

    @functools.wraps(init)
    def watched_init(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        given = inspect.signature(init).bind(self, *args, **kwargs).arguments
        config = given.get("concurrency_config")
        asked = given.get("max_concurrent_envs") if config is None else config.max_concurrent_envs
        served.append(Served(self, asked))
        _seen.append(served[-1])

    @functools.wraps(register)
    def watched_register(self: Any, app: Any, *args: Any, **kwargs: Any) -> Any:
        for one in served:
            if one.server is self:
                one.app = app
        return register(self, app, *args, **kwargs)

    # The web interface would build an environment and seconds of Gradio, to be thrown away.
    web = os.environ.pop("ENABLE_WEB_INTERFACE", None)
    HTTPEnvServer.__init__, HTTPEnvServer.register_routes = watched_init, watched_register
    try:
        yield served
    finally:
        HTTPEnvServer.__init__, HTTPEnvServer.register_routes = init, register
        if web is not None:
            os.environ["ENABLE_WEB_INTERFACE"] = web
