"""What a server is shipped as: the files of a directory, or the facts of a container. Evidence like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

READ = ("openenv.yaml", "pyproject.toml", "README.md", "Dockerfile", "server/Dockerfile")
"""Files whose text is kept."""
MAX_TEXT = 64 * 1024
MAX_FILES = 10_000
SKIPPED = {"__pycache__", "node_modules"}


def directory(path: Path) -> dict[str, Any]:
    """The facts of a directory: `files`, all relative paths but hidden ones, and `texts` of those that matter."""
    files: list[str] = []
    for root, folders, names in path.walk():
        folders[:] = [name for name in folders if not name.startswith(".") and name not in SKIPPED]
        files += [(root / name).relative_to(path).as_posix() for name in names]
        if len(files) > MAX_FILES:
            break
    texts = {name: (path / name).read_bytes()[:MAX_TEXT].decode(errors="replace") for name in READ if name in files}
    return {"kind": "directory", "files": sorted(files)[:MAX_FILES], "texts": texts}


def image(*, ready_seconds: float | None, user: str) -> dict[str, Any]:
    """The facts of a container.

    Args:
        ready_seconds: When `GET /health` on port 8000 was answered, after the start; None if it never was.
        user: The image's `USER`, empty for root.
    """
    return {"kind": "image", "ready_seconds": ready_seconds, "user": user}
