"""The interoperability hub for agent environments.

    import interop

    with interop.serve("gym:CartPole-v1") as server:      # any environment becomes an OpenEnv server
        env = interop.make(server.url)                    # any OpenEnv server becomes a gymnasium.Env
        obs, info = env.reset(seed=0)

Everything public is here; submodules are the implementation. Names are loaded when they are first used, so that
importing this package costs nothing and needs none of the ecosystems.
"""

from __future__ import annotations

from importlib import import_module

from interop._registration import register_with_gymnasium

__version__ = "0.1.0"

_HOMES = {
    "interop.api": ("certify", "connect", "connect_async", "make", "make_vec", "register", "serve", "wrap"),
    "interop.client": ("AsyncSession", "ClientOptions", "Session"),
    "interop.environment": ("Description", "Environment", "FactorySource", "Source", "StepResult", "Tasks"),
    "interop.errors": (
        "CannotCarry",
        "CapacityReached",
        "ConnectError",
        "EnvironmentLost",
        "ExecutionError",
        "FactoryError",
        "InteropError",
        "InvalidAction",
        "ProtocolError",
        "ServerError",
        "SessionError",
        "SessionLost",
        "SessionTimeout",
        "SourceError",
        "ValidationError",
    ),
    "interop.server": ("Server", "Settings"),
    "interop.suite": ("Report",),
}
_NAMES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AsyncSession",
    "CannotCarry",
    "CapacityReached",
    "ClientOptions",
    "ConnectError",
    "Description",
    "Environment",
    "EnvironmentLost",
    "ExecutionError",
    "FactoryError",
    "FactorySource",
    "InteropError",
    "InvalidAction",
    "ProtocolError",
    "Report",
    "Server",
    "ServerError",
    "Session",
    "SessionError",
    "SessionLost",
    "SessionTimeout",
    "Settings",
    "Source",
    "SourceError",
    "StepResult",
    "Tasks",
    "ValidationError",
    "__version__",
    "certify",
    "connect",
    "connect_async",
    "make",
    "make_vec",
    "register",
    "serve",
    "wrap",
]


def __getattr__(name: str) -> object:
    if name not in _NAMES:
        raise AttributeError(f"module 'interop' has no attribute {name!r}")
    value = getattr(import_module(_NAMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


TYPE_CHECKING = False  # as good as typing's for type checkers, without its import
if TYPE_CHECKING:
    from interop.api import certify, connect, connect_async, make, make_vec, register, serve, wrap
    from interop.client import AsyncSession, ClientOptions, Session
    from interop.environment import Description, Environment, FactorySource, Source, StepResult, Tasks
    from interop.errors import (
        CannotCarry,
        CapacityReached,
        ConnectError,
        EnvironmentLost,
        ExecutionError,
        FactoryError,
        InteropError,
        InvalidAction,
        ProtocolError,
        ServerError,
        SessionError,
        SessionLost,
        SessionTimeout,
        SourceError,
        ValidationError,
    )
    from interop.server import Server, Settings
    from interop.suite import Report

register_with_gymnasium()
