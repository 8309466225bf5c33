"""A WebSocket that attaches to a hosted session: `/ws?session_id=ID`."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import parse_qs, urlsplit

from interop.protocol.frames import ErrorCode
from interop.protocol.session import ServerSession
from interop.server.connection import PATH, greet
from interop.server.hosted import CODEC, Hosted, Hosts, serve_attached
from interop.websocket import Closed


def wanted_session(handshake: bytes) -> str:
    """The session that a handshake asks for; empty for none."""
    line = handshake.split(b"\r\n", 1)[0].split(b" ")
    if len(line) != 3 or b"session_id=" not in line[1]:
        return ""
    target = urlsplit(line[1].decode("latin-1"))
    return parse_qs(target.query).get("session_id", [""])[0] if target.path == PATH else ""


def attach(sock: socket.socket, handshake: bytes, hosts: Hosts, hosted: Hosted) -> None:
    """Answer the handshake and serve the connection until it ends."""
    greeting = greet(sock, handshake, hosts.settings, binary=False)
    if greeting is None:
        sock.close()
        return
    connection, _ = greeting
    if hosts.attach(hosted):
        serve_attached(connection, hosts, hosted)
        return
    why = f"Session {hosted.id} already has an attached WebSocket"
    with contextlib.suppress(Closed):
        connection.send(ServerSession(CODEC).refuse(ErrorCode.SESSION_ERROR, why), text=True)
        connection.close(1000)
    connection.abort()
