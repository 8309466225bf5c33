"""`interop mcp`: how agents attach to a server."""

from __future__ import annotations

import contextlib
import json as jsonlib
import re
import signal
import sys
from typing import Annotated, Any

import httpx
import typer

from interop.bridge import HEADERS, Bridge, messages
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
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Be an MCP server on stdin and stdout, in front of any OpenEnv server.")
    ] = False,
    token: Token = None,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Show how agents attach to a server by MCP.

    A session is opened, its tools are listed, and it is closed again; what is printed was tried, but for the agents.
    Exits with 1 where the server does not speak MCP, with 2 where nothing listens.

    --stdio is for agents that start their MCP servers themselves, and for OpenEnv servers without MCP of their own,
    whoever made them: what the agent calls becomes steps of one episode at their /ws. It ends with its stdin.

    Examples:

    \b
      interop mcp http://127.0.0.1:8000
      interop mcp http://127.0.0.1:8000 --name cartpole
      interop mcp http://127.0.0.1:8000 --json | jq .tools
      claude mcp add cartpole -- interop mcp http://127.0.0.1:8000 --stdio
    """
    if stdio:
        _bridge(url, token)
        return
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


def _bridge(url: str, token: str | None) -> None:
    http_url(url)  # a wrong one is told now, not to the agent

    def write(line: bytes) -> None:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the session is closed on the way
    with contextlib.suppress(BrokenPipeError):
        Bridge(url, token, write).run(sys.stdin.buffer)


def _attach(address: str, token: str | None) -> tuple[str, list[str]]:
    """The name that a server gives itself, and the names of its tools. Raises `CommandError`."""
    headers = dict(HEADERS)
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
    result = next((it["result"] for it in messages(response) if isinstance(it, dict) and "result" in it), None)
    if not isinstance(result, dict):
        if response.status_code == 401:
            raise CommandError(f"{address} needs a token: give --token or INTEROP_TOKEN")
        why = f"{method} is answered {response.status_code}: {response.text[:200]}"
        way_out = "; interop mcp URL --stdio bridges to it" if method == "initialize" else ""
        raise CommandError(f"{address} does not speak MCP Streamable HTTP: {why}{way_out}", Code.FINDINGS)
    return response, result


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
        "those that speak stdio alone": jsonlib.dumps(
            {"mcpServers": {name: {"command": "interop", "args": ["mcp", address.removesuffix("/mcp"), "--stdio"]}}}
        ),
    }
