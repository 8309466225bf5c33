"""Attach to a server over MCP: `python official_mcp.py URL`, with the Python of the peer openenv 0.10.0.

Prints what the official MCP SDK's client and the official `MCPToolClient` saw of a CartPole episode each.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from openenv.core.mcp_client import MCPToolClient


async def sdk(url: str) -> dict[str, Any]:
    """The episode of an agent: from `initialize` to the end of the episode."""
    async with streamablehttp_client(f"{url}/mcp") as (read, write, _), ClientSession(read, write) as session:
        opened = await session.initialize()
        await session.send_ping()
        tools = await session.list_tools()
        steps, wrong = 0, await session.call_tool("act", {"action": 9})
        while not (result := await session.call_tool("act", {"action": 1})).isError:
            assert result.structuredContent == json.loads(result.content[0].text)
            steps += 1
        return {
            "server": opened.serverInfo.name,
            "tools": [tool.name for tool in tools.tools],
            "wrong": wrong.isError,
            "steps": steps,
            "last": result.content[0].text,
        }


async def openenv(url: str) -> dict[str, Any]:
    """The same with OpenEnv's own client, which resets and watches too."""
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
    print(json.dumps({"sdk": asyncio.run(sdk(sys.argv[1])), "openenv": asyncio.run(openenv(sys.argv[1]))}))
