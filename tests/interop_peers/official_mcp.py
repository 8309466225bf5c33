"""Attach to a server over MCP, with the Python of the peer openenv 0.10.0, whose MCP SDK is 1.x.

`python official_mcp.py play MCP_URL [TOKEN]` prints what the SDK's client saw of a CartPole episode,
`python official_mcp.py openenv URL` what OpenEnv's `MCPToolClient` saw.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def play(url: str, token: str = "") -> dict[str, Any]:
    """The episode of an agent: from `initialize` to the end of the episode."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with streamablehttp_client(url, headers) as (read, write, _), ClientSession(read, write) as session:
        opened = await session.initialize()
        await session.send_ping()
        tools = await session.list_tools()
        steps, wrong = 0, await session.call_tool("act", {"action": 9})
        while not (result := await session.call_tool("act", {"action": 1})).isError:
            assert result.structuredContent == json.loads(result.content[0].text)
            steps += 1
        return {
            "revision": opened.protocolVersion,
            "server": opened.serverInfo.name,
            "tools": [tool.name for tool in tools.tools],
            "wrong": wrong.isError,
            "steps": steps,
            "last": result.content[0].text,
        }


async def openenv(url: str) -> dict[str, Any]:
    """The same with OpenEnv's own client, which resets and watches too."""
    from openenv.core.mcp_client import MCPToolClient  # takes seconds, and `play` needs none of it

    async with MCPToolClient(base_url=url) as client:
        await client.reset(seed=7)
        tools = await client.list_tools()
        seen = [(await client.call_tool("act", action=1))["obs"] for _ in range(3)]
        state = await client.state()
        try:
            await client.call_tool("nope")
        except RuntimeError as exc:
            refused = str(exc)
        return {
            "tools": [[tool.name, bool(tool.description)] for tool in tools],
            "seen": seen,
            "steps": state.step_count,
            "refused": refused,
        }


if __name__ == "__main__":
    program, *arguments = sys.argv[1:]
    print(json.dumps(asyncio.run({"play": play, "openenv": openenv}[program](*arguments))))
