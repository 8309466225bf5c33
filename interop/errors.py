"""The exceptions of the hub.

    InteropError
    ├── SourceError            a source that cannot be resolved, imported or built
    ├── CannotCarry            a value that has no exact form on the wire
    ├── InvalidAction          an action (or reset argument) that the environment refuses; the episode is untouched
    ├── EnvironmentLost        an environment that is gone for good, which ends its session
    ├── ProtocolError          the peer does not speak OpenEnv, or a frame out of turn
    ├── ServerError            an error frame; the session lives on
    │   ├── ValidationError    code VALIDATION_ERROR, with the list of what was wrong in `errors`
    │   └── ExecutionError     code EXECUTION_ERROR: the environment raised
    └── SessionError           there is no session, or it has ended; nothing of it can be continued
        ├── ConnectError       no server there, or it refused the handshake
        ├── CapacityReached    the server has no free session
        ├── FactoryError       the server could not build the environment
        ├── SessionLost        the connection ended (also a ConnectionError)
        └── SessionTimeout     no reply in time; the connection was dropped (also a TimeoutError)

Every message says what was wrong, where, and what is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class InteropError(Exception):
    """Base of every error the hub raises on purpose."""


class SourceError(InteropError):
    """A source that cannot be resolved, imported or built."""


class CannotCarry(InteropError):
    """A value that has no exact form on the wire.

    `path` is a JSON Pointer (RFC 6901) into the frame's data, `way_out` what the environment's owner can do.
    """

    def __init__(self, path: str, value: object, why: str, way_out: str) -> None:
        self.path = path or "/"
        self.value = value
        self._arguments = (path, value, why, way_out)
        super().__init__(
            f"{self.path} cannot be carried: {why} (value {_shown(value)} of type {_type_name(value)}). {way_out}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return CannotCarry, self._arguments


class InvalidAction(InteropError):
    """An action or a reset argument that the environment refuses before it does anything.

    `errors` are objects `{"type", "loc", "msg", "input"}` as in a VALIDATION_ERROR frame.
    """

    def __init__(self, message: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.errors = [dict(error) for error in errors]


class EnvironmentLost(InteropError):
    """Raised by an environment that is gone, with its process say: the server ends the session with the text."""


class ProtocolError(InteropError):
    """The peer does not speak OpenEnv, or a frame came out of turn."""


class ServerError(InteropError):
    """An error frame after which the session lives on.

    `code` is the frame's code, `data` its whole `data` object.
    """

    def __init__(self, message: str, *, code: str = "", data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = dict(data or {})


class ValidationError(ServerError):
    """The server refused a frame or an action; `errors` lists what was wrong."""

    @property
    def errors(self) -> list[dict[str, Any]]:
        errors = self.data.get("errors")
        return errors if isinstance(errors, list) else []


class ExecutionError(ServerError):
    """The environment raised while it ran."""


class SessionError(InteropError):
    """There is no session, or it has ended: nothing of it can be continued."""


class ConnectError(SessionError, ConnectionError):
    """No server answers there, or it refused the handshake."""


class CapacityReached(SessionError):
    """The server has no free session."""


class FactoryError(SessionError):
    """The server could not build the environment."""


class SessionLost(SessionError, ConnectionError):
    """The connection ended. The episode is gone: a new session starts a new environment."""


class SessionTimeout(SessionError, TimeoutError):
    """No reply in time. The connection was dropped, so that a late reply is never taken for another's."""


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # somebody's __repr__, or an integer of more digits than Python writes
        return "that cannot be shown"
    return text if len(text) <= 120 else text[:117] + "..."


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
