"""Section 10.6 of the specification: MCP Streamable HTTP at `/mcp`."""

from __future__ import annotations

import time
import uuid
from typing import Any

from conformance.evidence import Exchange
from conformance.probe import Probe
from conformance.recorder import parsed
from conformance.scenarios import scenario
from conformance.scenarios.mcp import NO_TOOL, calls_among, named_tools, rpc, unfit_call

REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25")
NO_REVISION = "1999-01-01"
MOST_PAGES = 16
JSON, EVENTS = "application/json", "text/event-stream"
SESSION, VERSION = "Mcp-Session-Id", "MCP-Protocol-Version"


class Client:
    """One MCP session, as far as the server gives one: it keeps the session id and the revision, and sends them."""

    def __init__(self, probe: Probe, name: str, version: str) -> None:
        self.probe = probe
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "conformance", "version": "1"}}
        self.headers: dict[str, str] = {}
        opened = self._open(name, rpc("initialize", **params))
        self.result = result_of(opened)
        self.headers = {VERSION: str(self.result.get("protocolVersion", version))}
        id = opened.header(SESSION)
        if id is not None and id.isascii() and id.strip() == id:
            self.headers[SESSION] = id

    def _open(self, name: str, message: Any) -> Exchange:
        """Ask for a session, again while the server is full of ones that have ended."""
        deadline, number = time.monotonic() + self.probe.timing.settle, 0
        while (opened := self.post(name, message)).status == 503 and time.monotonic() < deadline:
            number += 1
            self.probe.recorder.rename(name, f"full.{name}~{number}")
            time.sleep(min(0.05 * number, 0.5))
        return opened

    @property
    def has_session(self) -> bool:
        """Whether the server assigned a session id."""
        return SESSION in self.headers

    def post(self, name: str, message: Any, **changed: str | None) -> Exchange:
        """POST a message; `changed` headers, written with underscores, replace the usual ones, None leaves one out."""
        return self.request(name, "POST", message, **{"Accept": f"{JSON}, {EVENTS}", **changed})

    def request(self, name: str, method: str, message: Any = None, **changed: str | None) -> Exchange:
        """Make a request at `/mcp`, not longer than a handshake may take: event streams can stay open for ever."""
        headers = {**self.headers, **{key.replace("_", "-"): value for key, value in changed.items()}}
        sent = [(key, value) for key, value in headers.items() if value is not None]
        timeout = self.probe.timing.connect
        return self.probe.http(name, method, "/mcp", message, headers=sent, timeout=timeout)

    def delete(self, name: str) -> None:
        """End the session, where there is one."""
        if self.has_session:
            self.request(name, "DELETE")


@scenario("mcp.streamable", "mcp")
def streamable(probe: Probe) -> None:
    """An MCP session from `initialize` to `DELETE`."""
    client = Client(probe, "mcp.http.initialize", "2025-06-18")
    if not client.result:
        return
    client.post("mcp.http.initialized", {"jsonrpc": "2.0", "method": "notifications/initialized"})
    client.post("mcp.http.ping", rpc("ping", 2))
    client.post("mcp.http.string_id", rpc("ping", "three"))
    client.post("mcp.http.unknown", rpc("no/such/method", 4))
    _headers(client)
    _tools(client)
    client.request("mcp.http.get", "GET", Accept=EVENTS)
    client.delete("mcp.http.delete")
    if client.has_session:
        client.post("mcp.http.deleted", rpc("ping", 5))


@scenario("mcp.streamable.versions", "mcp")
def versions(probe: Probe) -> None:
    """Every revision is asked for, one that does not exist, and what the server offers instead."""
    asked = [NO_REVISION]
    for version in asked:
        client = Client(probe, f"mcp.http.version.{version}", version)
        if not client.result:
            return
        client.delete(f"mcp.http.version.{version}.delete")
        offered = client.result.get("protocolVersion")
        wanted = (*REVISIONS, offered) if version == NO_REVISION else (offered,)
        asked += [it for it in dict.fromkeys(wanted) if isinstance(it, str) and it not in asked and len(asked) < 8]


def _headers(client: Client) -> None:
    """Headers that a server judges."""
    client.post("mcp.http.no_version", rpc("ping", 10), MCP_Protocol_Version=None)
    client.post("mcp.http.bad_version", rpc("ping", 11), MCP_Protocol_Version=NO_REVISION)
    client.post("mcp.http.accept", rpc("ping", 12), Accept="text/html")
    client.post("mcp.http.origin", rpc("ping", 13), Origin="http://conformance.example")
    if client.has_session:
        client.post("mcp.http.no_session", rpc("tools/list", 14), Mcp_Session_Id=None)
        client.post("mcp.http.unknown_session", rpc("ping", 15), Mcp_Session_Id=uuid.uuid4().hex)


def _tools(client: Client) -> None:
    """All pages of tools, a call of each of some, and calls that must fail."""
    listed = client.post("mcp.http.list.0", rpc("tools/list", 20))
    found = named_tools({"result": result_of(listed)})
    for page in range(1, MOST_PAGES):
        cursor = result_of(listed).get("nextCursor")
        if not isinstance(cursor, str):
            break
        listed = client.post(f"mcp.http.list.{page}", rpc("tools/list", 20, cursor=cursor))
        found += named_tools({"result": result_of(listed)})
    for number, call in enumerate(calls_among(client.probe, found)):
        client.post(f"mcp.http.call.{number}", rpc("tools/call", 30 + number, **call))
    if not found:
        return
    client.post("mcp.http.fail.unknown", rpc("tools/call", 40, name=NO_TOOL, arguments={}))
    unfit = unfit_call(found)
    if unfit is not None:
        client.post("mcp.http.fail.unfit", rpc("tools/call", 41, **unfit))


# What is read of responses


def messages(exchange: Exchange) -> list[Any]:
    """The JSON values of a response: its body, or the data of its events; those that are no JSON are None."""
    if (exchange.header("Content-Type") or "").lower().startswith(EVENTS):
        return [parsed(data) for data in events(exchange.body) if data]
    return [parsed(exchange.body)]


def events(body: bytes) -> list[bytes]:
    """The data of the events of a stream, as the HTML standard reads it (section 9.2.6)."""
    found: list[bytes] = []
    data: list[bytes] = []
    for line in [*body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")]:
        name, _, value = line.partition(b":")
        if name == b"data" and line:
            data.append(value.removeprefix(b" "))
        elif not line and data:
            found.append(b"\n".join(data))
            data = []
    return found


def response_of(exchange: Exchange) -> dict[str, Any]:
    """The JSON-RPC response to the request that was sent, `{}` where there is none."""
    sent = parsed(exchange.sent)
    id = sent.get("id") if isinstance(sent, dict) else None
    for message in messages(exchange):
        if isinstance(message, dict) and message.get("id") == id and ("result" in message or "error" in message):
            return message
    return {}


def result_of(exchange: Exchange) -> dict[str, Any]:
    """The result of that response, `{}` where there is none."""
    result = response_of(exchange).get("result")
    return result if isinstance(result, dict) else {}
