"""harbor tasks as sources, their sandbox without Docker, and OpenEnv servers as harbor tasks.

`harbor run -e converters.harbor:NamespaceEnvironment` plays tasks in that sandbox; only that imports harbor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converters.harbor.namespace import NamespaceEnvironment

__all__ = ["NamespaceEnvironment"]


def __getattr__(name: str) -> Any:
    if name == "NamespaceEnvironment":
        from converters.harbor.namespace import NamespaceEnvironment

        return NamespaceEnvironment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
