"""Attach to a server over MCP, with the Python of the peer mcp-2, the MCP SDK 2.x.

`python official_mcp_2.py play MCP_URL [TOKEN]` prints what the SDK's client saw of a CartPole episode,
`python official_mcp_2.py crowd MCP_URL COUNT` how COUNT episodes ended that were played at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client


async def play(url: str, token: str = "") -> dict[str, Any]:
    """The episode of an agent: from the handshake to the end of the episode.

    The client asks first whether the server speaks the newest revision, which has no handshake.
    """
    http = create_mcp_http_client({"Authorization": f"Bearer {token}"} if token else {})
    async with http, Client(streamable_http_client(url, http_client=http)) as client:
        await client.send_ping()
        tools = await client.list_tools()
        steps, wrong = 0, await client.call_tool("act", {"action": 9})
        while not (result := await client.call_tool("act", {"action": 1})).is_error:
            assert result.structured_content == json.loads(result.content[0].text)
            steps += 1
        return {
            "revision": client.protocol_version,
            "server": client.server_info.name,
            "tools": [tool.name for tool in tools.tools],
            "wrong": wrong.is_error,
            "steps": steps,
            "last": result.content[0].text,
        }


async def crowd(url: str, count: str) -> list[str]:
    """The last text of each episode; all wait in their first call until they may go on."""

    async def one() -> str:
        async with Client(url) as client:
            for action in ({"do": "wait"}, {}, {"do": "end"}):
                assert not (await client.call_tool("act", action)).is_error
            last = await client.call_tool("act", {})
            assert last.is_error
            return last.content[0].text

    return await asyncio.gather(*(one() for _ in range(int(count))))


if __name__ == "__main__":
    program, *arguments = sys.argv[1:]
    print(json.dumps(asyncio.run({"play": play, "crowd": crowd}[program](*arguments))))
