"""$prose"""

from typing import Any

__all__ = ["${prefix}Action", "${prefix}Env", "${prefix}Observation", "${prefix}State"]


def __getattr__(name: str) -> Any:
    # The client needs openenv, which the server does not.
    if name == "${prefix}Env":
        from .client import ${prefix}Env

        return ${prefix}Env
    if name in __all__:
        from . import models

        return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
