"""The conformance suite: certifies any OpenEnv server, with evidence. Public here is what test modules need."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.contract import ServerContract

__all__ = ["ServerContract"]


def __getattr__(name: str) -> object:
    # On demand, so that pytest's plugin costs nothing where it has nothing to do.
    if name == "ServerContract":
        from conformance.contract import ServerContract

        return ServerContract
    raise AttributeError(f"module 'conformance' has no attribute {name!r}")
