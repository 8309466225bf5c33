"""The tools of the task's environment, over MCP Streamable HTTP. Standard library alone.

from openenv_mcp import Tools

tools = Tools()
print(tools.list())
print(tools.call("act", action=1))
"""

from __future__ import annotations

import itertools
import json
import os
import urllib.error
import urllib.request
from typing import Any

VERSION = "2025-06-18"


class Refused(Exception):
    """A call that failed; the text says why."""


class Tools:
    """One MCP session."""

    def __init__(self, url: str | None = None) -> None:
        self._url = url or os.environ["OPENENV_MCP_URL"]
        self._ids = itertools.count(1)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        about = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "oracle", "version": "1"}}
        self._ask("initialize", about)
        self._headers["MCP-Protocol-Version"] = VERSION
        self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def list(self) -> list[dict[str, Any]]:
        """The tools: `name`, `description`, `inputSchema`."""
        tools: list[dict[str, Any]] = self._ask("tools/list", {})["tools"]
        return tools

    def call(self, tool: str, **arguments: Any) -> Any:
        """The result of a call: an object where there is one, else its text. Raises `Refused`."""
        result = self._ask("tools/call", {"name": tool, "arguments": arguments})
        text = "\n".join(part["text"] for part in result["content"] if part["type"] == "text")
        if result.get("isError"):
            raise Refused(text)
        return result.get("structuredContent", text)

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        answer = self._post({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params})
        if "error" in answer:
            raise Refused(answer["error"]["message"])
        return answer["result"]

    def _post(self, message: dict[str, Any]) -> Any:
        request = urllib.request.Request(self._url, json.dumps(message).encode(), self._headers)
        try:
            with self._open(request) as response:
                session, text = response.headers["Mcp-Session-Id"], response.read()
        except urllib.error.HTTPError as exc:
            raise Refused(f"{exc.code}: {exc.read().decode(errors='replace')}") from exc
        if session:
            self._headers["Mcp-Session-Id"] = session
        return json.loads(text) if text else None
