"""A server of the official MCP SDK: `python mcp_sdk_server.py PORT [json] [stateless]`, with a peer's Python."""

from __future__ import annotations

import sys

from mcp.server.fastmcp import FastMCP

server = FastMCP(
    "official",
    host="127.0.0.1",
    port=int(sys.argv[1]),
    json_response="json" in sys.argv[2:],
    stateless_http="stateless" in sys.argv[2:],
    log_level="WARNING",
)


@server.tool()
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


@server.tool()
def fail() -> str:
    """Always raises."""
    raise RuntimeError("on purpose")


if __name__ == "__main__":
    server.run("streamable-http")
