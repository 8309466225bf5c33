"""The official MCP SDK as a client: `python mcp_sdk_client.py URL`, with a peer's Python; prints what it saw."""

from __future__ import annotations

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def talk(url: str) -> dict[str, object]:
    async with streamablehttp_client(url) as (read, write, session_id), ClientSession(read, write) as session:
        opened = await session.initialize()
        await session.send_ping()
        first = await session.list_tools()
        second = await session.list_tools(first.nextCursor) if first.nextCursor else None
        tools = [*first.tools, *(second.tools if second else ())]
        added = await session.call_tool("add", {"a": 1, "b": 2})
        bumped = [await session.call_tool("bump", {}) for _ in range(2)]
        failed = await session.call_tool("fail", {})
        return {
            "version": opened.protocolVersion,
            "session": bool(session_id()),
            "tools": [tool.name for tool in tools],
            "texts": [result.content[0].text for result in (added, *bumped)],
            "failed": failed.isError,
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(talk(sys.argv[1]))))
