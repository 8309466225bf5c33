"""`interop mcp`: how agents attach to a server."""

from __future__ import annotations

import contextlib
import json as jsonlib
import re
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import typer

from interop.cli import output
from interop.cli.errors import Code, CommandError
from interop.cli.options import Json, Token, Traceback, command_app
from interop.client._common import http_url

app = command_app()

VERSION = "2025-06-18"
_TIMEOUT = 60.0
"""Seconds for an answer: a session is built for it."""


@app.command()
def mcp(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A server's address, http://host:port.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What agents call it.", show_default="the environment's")
    ] = None,
    token: Token = None,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Show how agents attach to a server by MCP.

    A session is opened, its tools are listed, and it is closed again; what is printed was tried, but for the agents.
    Exits with 1 where the server does not speak MCP, with 2 where nothing listens.

    Examples:

    \b
      interop mcp http://127.0.0.1:8000
      interop mcp http://127.0.0.1:8000 --name cartpole
      interop mcp http://127.0.0.1:8000 --json | jq .tools
    """
    address = f"{http_url(url)}/mcp"
    server, tools = _attach(address, token)
    name = name or re.sub(r"[^a-z0-9_-]+", "-", server.lower()).strip("-") or "environment"
    lines = _lines(name, address, token is not None)
    if json:
        output.write_json({"name": name, "url": address, "server": server, "tools": tools, "agents": lines})
        return
    output.write(f"{server} at {address} offers {', '.join(tools) or 'no tools'}; each MCP session is an episode.")
    if token is not None:
        output.write("Set INTEROP_TOKEN where the agent runs.")
    for agent, text in lines.items():
        output.write(f"\n{agent}\n" + "\n".join(f"  {line}" for line in text.splitlines()))


def _attach(address: str, token: str | None) -> tuple[str, list[str]]:
    """The name that a server gives itself, and the names of its tools. Raises `CommandError`."""
    headers = {"Accept": "application/json, text/event-stream"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with httpx.Client(headers=headers, timeout=_TIMEOUT, trust_env=False) as http:
        opening = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "interop", "version": "1"}}
        response, opened = _ask(http, address, "initialize", opening)
        if "Mcp-Session-Id" in response.headers:
            http.headers["Mcp-Session-Id"] = response.headers["Mcp-Session-Id"]
        http.headers["MCP-Protocol-Version"] = str(opened.get("protocolVersion", VERSION))
        http.post(address, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        _, listed = _ask(http, address, "tools/list", {})
        http.delete(address)
    server = opened.get("serverInfo", {}).get("name", "")
    return str(server), [str(tool.get("name")) for tool in listed.get("tools", [])]


def _ask(
    http: httpx.Client, address: str, method: str, params: dict[str, Any]
) -> tuple[httpx.Response, dict[str, Any]]:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    try:
        response = http.post(address, json=request)
    except httpx.HTTPError as exc:
        raise CommandError(f"no server answers at {address}: {exc}") from exc
    result = next((it["result"] for it in _messages(response) if isinstance(it, dict) and "result" in it), None)
    if not isinstance(result, dict):
        if response.status_code == 401:
            raise CommandError(f"{address} needs a token: give --token or INTEROP_TOKEN")
        why = f"{method} is answered {response.status_code}: {response.text[:200]}"
        raise CommandError(f"{address} does not speak MCP Streamable HTTP: {why}", Code.FINDINGS)
    return response, result


def _messages(response: httpx.Response) -> Iterator[Any]:
    """The JSON of a response: its body, or the data of each event of a stream."""
    texts = [response.text]
    if response.headers.get("Content-Type", "").startswith("text/event-stream"):
        events = re.split(r"\r?\n\r?\n", response.text)
        texts = ["\n".join(it[5:] for it in event.splitlines() if it.startswith("data:")) for event in events]
    for text in texts:
        with contextlib.suppress(ValueError):
            yield jsonlib.loads(text)


def _lines(name: str, address: str, token: bool) -> dict[str, str]:
    """What to type or to write down for each agent."""
    header = "Authorization: Bearer $INTEROP_TOKEN"
    bearer = 'bearer_token_env_var = "INTEROP_TOKEN"'
    headers = {"headers": {"Authorization": "Bearer ${INTEROP_TOKEN}"}} if token else {}
    return {
        "Claude Code": f"claude mcp add --transport http {name} {address}" + (f' --header "{header}"' if token else ""),
        "Codex, in ~/.codex/config.toml": f'[mcp_servers.{name}]\nurl = "{address}"' + (f"\n{bearer}" if token else ""),
        "Gemini CLI, in ~/.gemini/settings.json": jsonlib.dumps(
            {"mcpServers": {name: {"httpUrl": address, **headers}}}
        ),
        "most others, in their mcp.json": jsonlib.dumps(
            {"mcpServers": {name: {"type": "http", "url": address, **headers}}}
        ),
    }
