"""The server: HTTP routes, `/ws`, sessions, and what keeps them apart."""

from interop.server.server import Server
from interop.server.settings import Settings

__all__ = ["Server", "Settings"]
