"""A WebSocket of an ASGI server as one of ours: messages go to and fro between it and a socket of our server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Accept = Callable[[socket.socket, bytes], None]
"""Takes a connected socket, and the handshake that was read from it."""

ABNORMAL = 1006
"""The code of a connection that ended without a close frame; it is never sent."""
_OURS = (b"authorization", b"user-agent")
"""Headers that are passed on; the handshake has its own of the others."""


async def relay(accept: Accept, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one WebSocket of an ASGI server, from its handshake to its end."""
    await receive()  # websocket.connect
    try:
        connection = await _open(accept, scope)
    except InvalidStatus as exc:
        await _refuse(exc.response.status_code, scope, send)
        return
    await send({"type": "websocket.accept", "subprotocol": connection.subprotocol})
    ways = [asyncio.create_task(_up(connection, receive)), asyncio.create_task(_down(connection, send))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        # Without a close frame, which waits for a step that runs: the server sees at once that nobody waits for it.
        connection.transport.abort()
        await asyncio.gather(*ways, return_exceptions=True)


async def _open(accept: Accept, scope: Scope) -> ClientConnection:
    inner, outer = socket.socketpair()
    headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
    query = scope["query_string"].decode("latin-1")
    opening = connect(
        # The server compares the page's origin with the host that it was reached at.
        f"ws://{headers.get(b'host', 'localhost')}{quote(scope['path'])}{'?' if query else ''}{query}",
        sock=outer,
        origin=Origin(headers[b"origin"]) if b"origin" in headers else None,
        subprotocols=[Subprotocol(it) for it in scope["subprotocols"]] or None,
        additional_headers=[(key.decode(), headers[key]) for key in _OURS if key in headers],
        user_agent_header=None,
        # The ASGI server has compressed, limited and kept alive what clients send.
        compression=None,
        max_size=None,
        ping_interval=None,
        open_timeout=None,
        proxy=None,
    )
    connecting = asyncio.ensure_future(_connected(opening))
    try:
        accept(inner, await _handshake(inner))
        return await connecting
    except BaseException:
        connecting.cancel()
        inner.close()
        raise


async def _connected(opening: connect) -> ClientConnection:
    return await opening


async def _handshake(sock: socket.socket) -> bytes:
    """The request that the other end sends."""
    sock.setblocking(False)
    loop, data = asyncio.get_running_loop(), b""
    while b"\r\n\r\n" not in data:
        data += await loop.sock_recv(sock, 65536)
    sock.setblocking(True)
    return data


async def _up(connection: ClientConnection, receive: Receive) -> None:
    """From the client to the server."""
    with contextlib.suppress(ConnectionClosed):
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            await connection.send(message["bytes"] if text is None else text)


async def _down(connection: ClientConnection, send: Send) -> None:
    """From the server to the client."""
    try:
        while True:
            message = await connection.recv()
            await send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})
    except ConnectionClosed:
        code = connection.close_code
        closing = {"code": 1011 if code in (None, ABNORMAL) else code, "reason": connection.close_reason or ""}
        with contextlib.suppress(OSError, RuntimeError):  # the client has closed too
            await send({"type": "websocket.close", **closing})


async def _refuse(status: int, scope: Scope, send: Send) -> None:
    """Answer the handshake with a status, where the ASGI server can; else it makes 403 of a close."""
    extensions: Mapping[str, Any] = scope.get("extensions") or {}
    if "websocket.http.response" not in extensions:
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"0")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b""})
