"""The server: HTTP routes, `/ws`, sessions, and what keeps them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interop.server.settings import Settings

if TYPE_CHECKING:
    from interop.server.server import Server

__all__ = ["Server", "Settings"]


def __getattr__(name: str) -> Any:
    # FastAPI takes a second to import, which nobody who only reads the settings should pay.
    if name == "Server":
        from interop.server.server import Server

        return Server
    raise AttributeError(f"module 'interop.server' has no attribute {name!r}")
