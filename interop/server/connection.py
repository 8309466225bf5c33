"""A client's connection to `/ws`, from the handshake on, in a thread of its own.

The thread owns the socket: a step is one recv, one step of the environment, one send, with no hop between threads.
"""

from __future__ import annotations

import hmac
import socket
from collections.abc import Callable, Sequence
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from interop._sockets import abort
from interop.environment import Source
from interop.protocol.codecs import MSGPACK_V1, codec
from interop.protocol.frames import ErrorCode
from interop.server.serving import Serving, Shared
from interop.server.session import Session
from interop.server.settings import Settings
from interop.server.supervisor import Supervisor, Watched
from interop.websocket import Connection

PATH = "/ws"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def run_connection(
    sock: socket.socket,
    handshake: bytes,
    source: Source | None,
    settings: Settings,
    supervisor: Supervisor | None,
    *,
    greeted: bool = False,
    backlog: bytes = b"",
    full: tuple[int, int] | None = None,
    release: Callable[[], None] = lambda: None,
    shared: Shared | None = None,
    expose: Callable[[Serving], None] | None = None,
) -> None:
    """Serve one connection until it ends, or until the shared thread takes it.

    Args:
        sock: The connected socket; closed on return.
        handshake: The client's opening HTTP request, whole.
        source: What to build the environment of; not needed if there is no room.
        settings: The server's options.
        supervisor: Watches the session; not needed if there is no room.
        greeted: Whether the handshake was answered already, by `greet` in another process.
        backlog: What that process has read after the handshake.
        full: Active and allowed sessions, if there is no room for this one.
        release: Called when the session's place is free again; may be called twice.
        shared: Takes sessions whose environment any thread may call.
        expose: Takes a session that its client wants to use by HTTP too.
    """
    greeting = None
    try:
        greeting = greet(sock, handshake, settings, answer=not greeted)
    finally:
        if greeting is None:
            abort(sock)
            release()
    if greeting is None:
        return
    connection, request = greeting
    connection.resume(backlog)
    session = Session(source, codec(connection.protocol.subprotocol), show_rewards=settings.show_rewards)
    watched = Watched(connection, session.protocol, release, session.interrupt)
    serving = Serving(connection, session, watched, supervisor, release, expose)
    refusal = _refusal(session, request, full)
    if refusal is None:
        assert supervisor is not None
        supervisor.watch(watched)
        try:
            refusal = session.open()
        except BaseException as exc:
            serving.finish(exc)
            return
    if refusal is not None:
        serving.refuse(refusal)
    else:
        serving.run(shared if session.any_thread and not connection.protocol.extensions else None)


def greet(
    sock: socket.socket,
    handshake: bytes,
    settings: Settings,
    *,
    path: str = PATH,
    answer: bool = True,
    binary: bool = True,
) -> tuple[Connection, Request] | None:
    """Answer the opening handshake: the open connection and its request, or None if it was refused.

    `answer=False` comes to the same result without sending it; without `binary` messages are JSON whatever is offered.
    Another path than `path` is refused.
    """
    protocol = ServerProtocol(
        subprotocols=[Subprotocol(MSGPACK_V1)] if binary else None,
        select_subprotocol=_select if binary else None,
        extensions=[ServerPerMessageDeflateFactory()] if settings.compression else None,
        max_size=settings.max_message_size,
    )
    connection = Connection(sock, protocol, send_timeout=settings.send_timeout, max_size=settings.max_message_size)
    protocol.receive_data(handshake)
    events = protocol.events_received()
    if not events or not isinstance(events[0], Request):
        return None
    request = events[0]
    status = _forbidden(request, path, settings)
    if status is None:
        response = protocol.accept(request)
        del response.headers["Date"]
    else:
        response = _empty(status)
    protocol.send_response(response)
    try:
        for data in protocol.data_to_send():
            if data and answer:
                sock.sendall(data)
    except OSError:  # the client is gone
        return None
    return (connection, request) if response.status_code == 101 else None


def _refusal(session: Session, request: Request, full: tuple[int, int] | None) -> bytes | None:
    attach = parse_qs(urlsplit(request.path).query).get("session_id", [""])[0]
    if attach:
        return session.protocol.refuse(ErrorCode.SESSION_ERROR, f"Unknown session_id: {attach}")
    if full is not None:
        return session.protocol.refuse(
            ErrorCode.CAPACITY_REACHED,
            f"Server at capacity: {full[0]}/{full[1]} sessions active. Cannot accept new connections.",
            active_sessions=full[0],
            max_sessions=full[1],
        )
    return None


def _forbidden(request: Request, path: str, settings: Settings) -> int | None:
    headers = request.headers
    if urlsplit(request.path).path != path:
        return 403  # what the official server's stack answers where there is no such WebSocket
    if not authorized(headers.get("Authorization"), settings.token):
        return 401
    if not origin_allowed(headers.get("Origin"), headers.get("Host"), settings.origins):
        return 403
    return None


def authorized(header: str | None, token: str | None) -> bool:
    """Whether an `Authorization` header carries the token."""
    # A header that is no text is a wrong one.
    given = (header or "").encode(errors="surrogateescape")
    return token is None or hmac.compare_digest(given, f"Bearer {token}".encode())


def origin_allowed(origin: str | None, host: str | None, origins: Sequence[str]) -> bool:
    """Whether a request that a web page of `origin` makes may pass; programs send no Origin."""
    if origin is None or "*" in origins or origin in origins:
        return True
    try:
        page, server = urlsplit(origin), urlsplit(f"//{host or ''}")
    except ValueError:  # no URL
        return False
    # The page's own host name must be a loopback name too: a name that was rebound to 127.0.0.1 is a foreign page.
    return page.netloc == server.netloc and page.hostname in _LOOPBACK


def _empty(status: int) -> Response:
    phrase = {401: "Unauthorized", 403: "Forbidden"}[status]
    headers = Headers(
        {"Connection": "close", "Content-Length": "0", "Content-Type": "text/plain; charset=utf-8"},
    )
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(status, phrase, headers, b"")


def _select(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    # A client that offers others alone is served JSON, as the official server serves it.
    return Subprotocol(MSGPACK_V1) if MSGPACK_V1 in offered else None
