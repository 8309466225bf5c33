"""The Docker engine."""

from __future__ import annotations

from typing import Any

from interop.errors import SourceError


def engine() -> Any:
    """A client of the engine, to be closed. Raises `SourceError` where there is none."""
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as exc:
        raise SourceError(
            f"images need a package that is missing ({exc}); pip install 'openenv-interop[docker]'"
        ) from exc
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as exc:
        way_out = "start one, or name it in DOCKER_HOST"
        if "Permission denied" in str(exc):
            way_out = "this user may not use it; let it join the engine's group, or name another engine in DOCKER_HOST"
        raise SourceError(f"no Docker engine answers: {exc}; {way_out}") from exc
    return client
