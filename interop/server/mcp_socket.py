"""`WS /mcp`: each text message is a request of OpenEnv's JSON-RPC, in a session that is the connection's own (10.4).

Other doors lead into that session once its client has asked for its id, as on the official server.
"""

from __future__ import annotations

import functools
import json
import socket

from interop.environment import RawJSON
from interop.protocol import jsonrpc
from interop.protocol.codecs import RpcCodec
from interop.protocol.frames import FrameError
from interop.server.attached import refuse
from interop.server.connection import greet
from interop.server.hosted import CODEC, Hosted, Hosts, Refused, serve
from interop.server.mcp import close_session

MCP_PATH = "/mcp"
RPC = RpcCodec()


def serve_mcp(sock: socket.socket, handshake: bytes, hosts: Hosts) -> None:
    """Answer the handshake and serve the connection until it ends."""
    greeting = greet(sock, handshake, hosts.settings, path=MCP_PATH, binary=False)
    if greeting is None:
        sock.close()
        return
    connection, _ = greeting
    try:
        hosted = hosts.create(kept=True)
    except Refused as exc:
        refuse(connection, RPC.encode({"type": "error", "data": exc.data}))
        return
    serve(connection, hosts, hosted, RPC, functools.partial(_answer, hosts, hosted), hosts.close)


def _answer(hosts: Hosts, hosted: Hosted, payload: bytes, text: bool) -> bytes:
    try:
        data = RPC.decode(payload, text=text)["data"]
    except FrameError as exc:
        return RPC.encode(exc.frame())
    request = jsonrpc.read(data)
    if isinstance(request, jsonrpc.JsonRpcRequest) and request.method == jsonrpc.CLOSE:
        named = hosts.get(request.params.get("session_id"))
        if named is not None and named is not hosted:
            return RPC.encode({"type": "mcp", "data": close_session(hosts, request)})
    # As it came: what the client has escaped may have no other form.
    reply = hosts.wait(hosted.ask(CODEC.encode({"type": "mcp", "data": RawJSON(payload)})))
    return RPC.encode({**json.loads(reply), "id": data.get("id")})
