"""What both clients share: addresses, options, and how the `data` of a reply becomes a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ssl import SSLContext, create_default_context
from typing import Any
from urllib.parse import SplitResult, urlsplit

from websockets.uri import WebSocketURI, parse_uri

from interop.environment import StepResult
from interop.errors import ConnectError, ProtocolError
from interop.protocol.codecs import MSGPACK_V1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """Options of a client. Times are in seconds, sizes in bytes.

    Attributes:
        connect_timeout: Longest connect and handshake.
        timeout: Longest wait for a reply; None waits forever.
        max_message_size: Largest reply that is accepted.
        binary: Whether to offer `interop.msgpack.v1`; servers that do not know it answer in JSON.
        compression: Whether to offer permessage-deflate, which pays over slow networks alone.
        headers: Further HTTP headers, such as `Authorization`.
        ssl: What is trusted on https; by default what the system trusts, or the file that SSL_CERT_FILE names.
    """

    connect_timeout: float = 10.0
    timeout: float | None = 60.0
    max_message_size: int = 100 * 1024 * 1024
    binary: bool = True
    compression: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    ssl: SSLContext | None = None

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "timeout"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{name} is {seconds!r}; accepted is a number of seconds above 0")

    @property
    def subprotocols(self) -> list[str] | None:
        return [MSGPACK_V1] if self.binary else None


def split_url(url: str) -> SplitResult:
    """The parts of a server's address; a missing scheme is http. Raises `ConnectError`."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        known = parts.scheme.lower() in ("http", "https", "ws", "wss") and parts.hostname and parts.port != 0
    except ValueError:  # no such host or port
        known = False
    if not known:
        raise ConnectError(f"{url!r} is no server's address; accepted is http://host:port[/prefix] (or https, ws, wss)")
    if parts.query or parts.fragment:
        raise ConnectError(f"{url!r} has a query or a fragment; a server's address has neither")
    return parts


def http_url(url: str) -> str:
    """The base of a server's HTTP routes, without a trailing slash."""
    parts = split_url(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme.lower(), parts.scheme.lower())
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def websocket_uri(url: str) -> WebSocketURI:
    """The address of `/ws`; a path prefix is kept."""
    base = http_url(url)
    return parse_uri("ws" + base.removeprefix("http") + "/ws")


def tls_context(uri: WebSocketURI, options: ClientOptions) -> SSLContext | None:
    return (options.ssl or create_default_context()) if uri.secure else None


def result(data: Mapping[str, Any]) -> StepResult:
    """The result in the `data` of an observation frame. Servers before 0.4.0 send no metadata."""
    observation = data.get("observation")
    if not isinstance(observation, dict):
        raise ProtocolError(f"the reply has no observation object: {data!r:.200}")
    metadata = data.get("metadata")
    if metadata is None:
        metadata = observation.get("metadata")
    return StepResult(
        observation, data.get("reward"), bool(data.get("done", False)), metadata if isinstance(metadata, dict) else {}
    )
