"""What a server can be told, with its defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["simulation", "production"]
Isolation = Literal["thread", "process"]


def _mode() -> Mode:
    mode = os.environ.get("OPENENV_MODE", "simulation").lower()
    if mode not in ("simulation", "production"):
        raise ValueError(f"OPENENV_MODE is {mode!r}; accepted are simulation and production")
    return mode  # type: ignore[return-value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options of a server. Times are in seconds, sizes in bytes.

    Attributes:
        mode: `production` leaves out `/reset`, `/step` and `/state`; default is `OPENENV_MODE`, else `simulation`.
        isolation: Where environments run: a `thread` each, or a `process` each, which survives crashes in C code,
            reclaims hung steps and uses all cores.
        max_sessions: Sessions at a time; an environment that allows fewer lowers it.
        max_message_size: Largest message a client may send; past it the connection closes with 1009.
        step_timeout: Longest reset, step or state; past it the session ends with an error frame.
        idle_timeout: Longest silence of a client between requests; past it the session ends with an error frame.
        ping_interval: Silence after which the server pings.
        ping_timeout: Silence after a ping that means the client is gone (close code 1011).
        send_timeout: How long a reply waits for a client that does not read.
        compression: Whether permessage-deflate is accepted when a client offers it.
        origins: Web origins that may connect, beside the server's own; `*` is any.
        show_rewards: Whether agents (`/mcp`) see the reward and the end of their steps.
        token: If set, every request but `GET /health` needs `Authorization: Bearer <token>`.
    """

    mode: Mode = field(default_factory=_mode)
    isolation: Isolation = "thread"
    # Limits
    max_sessions: int = 64
    max_message_size: int = 16 * 1024 * 1024
    # Timeouts
    step_timeout: float = 600.0
    idle_timeout: float = 3600.0
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    send_timeout: float = 40.0
    # Agents
    show_rewards: bool = False
    # Transport
    compression: bool = False
    origins: tuple[str, ...] = ()
    token: str | None = None

    def __post_init__(self) -> None:
        for name in ("step_timeout", "idle_timeout", "ping_interval", "ping_timeout", "send_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}; accepted is a number of seconds above 0")
        for name in ("max_sessions", "max_message_size"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; accepted is 1 or more")
        for name, accepted in (("mode", ("simulation", "production")), ("isolation", ("thread", "process"))):
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} is {getattr(self, name)!r}; accepted are {' and '.join(accepted)}")
