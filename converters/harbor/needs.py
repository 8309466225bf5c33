"""harbor itself, which lists and lints of tasks do without."""

from __future__ import annotations

from importlib.metadata import version

from packaging.version import Version

from interop.errors import SourceError

LEAST = Version("0.26")
"""The oldest release that plays here: earlier ones do not say which errors leave a reward that counts."""


def require_harbor() -> None:
    """Import harbor. Raises `SourceError` where it is missing or too old."""
    way_out = "pip install 'openenv-interop[harbor]'"
    try:
        import harbor  # noqa: F401
    except ImportError as exc:
        raise SourceError(f"harbor is not installed ({exc}); {way_out}") from exc
    release = version("harbor")
    if Version(release) < LEAST:
        raise SourceError(f"harbor {release} is installed, and {LEAST} or newer is needed; {way_out}")
