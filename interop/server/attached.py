"""A WebSocket that attaches to a hosted session: `/ws?session_id=ID`."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import parse_qs

from interop.protocol.frames import ErrorCode, error
from interop.server.connection import PATH, greet
from interop.server.hosted import CODEC, Hosted, Hosts, serve_attached
from interop.websocket import Closed, Connection


def wanted(handshake: bytes) -> tuple[str, str]:
    """The path that a handshake asks for, and the session; empty for none."""
    line = handshake.split(b"\r\n", 1)[0].split(b" ")
    path, _, query = line[1].decode("latin-1").partition("?") if len(line) == 3 else ("", "", "")
    return path, parse_qs(query).get("session_id", [""])[0] if path == PATH else ""


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
    refuse(
        connection,
        CODEC.encode(error(ErrorCode.SESSION_ERROR, f"Session {hosted.id} already has an attached WebSocket")),
    )


def refuse(connection: Connection, words: bytes) -> None:
    """End a connection for which there is no session."""
    with contextlib.suppress(Closed):
        connection.send(words, text=True)
        connection.close(1000)
    connection.abort()
