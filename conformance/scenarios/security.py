"""Section 14 of the specification: Origins, tokens, session ids, and what errors tell."""

from __future__ import annotations

import contextlib
import ipaddress
import socket as sockets
import time
from collections.abc import Iterator
from typing import Any

from conformance.probe import Probe
from conformance.recorder import parsed
from conformance.scenarios import scenario

REBINDING = "rebinding"
"""The Origin that equals `Host`, of a name that is not a loopback name."""
GETS = ("metadata", "schema", "openapi.json", "list_environments", "state")
IDS = 4
"""Session ids that are compared."""
CREATE = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"}
NOTHING = {"jsonrpc": "2.0", "id": 1, "method": "no/such/method"}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "no_such_tool"}}


@scenario("security.origin")
def handshakes(probe: Probe) -> None:
    """Handshakes without an Origin, with the server's own, and with foreign ones."""
    with probe.session("security.plain") as session:
        session.ask({"type": "state"}, "state")
    with probe.session("security.own", headers={"Origin": own(probe)}) as session:
        session.ask({"type": "state"}, "state")
    for name, headers in foreign(probe):
        probe.connect(f"security.origin.{name}", headers=headers).close()


@scenario("security.post")
def posts(probe: Probe) -> None:
    """POSTs without an Origin, with the server's own, and with foreign ones."""
    strangers = dict(foreign(probe))
    for route, body in _posts(probe):
        plain = probe.http(f"security.post.{route}", "POST", f"/{route}", body)
        if plain.status in (404, 405):
            continue
        probe.http(f"security.post.{route}.own", "POST", f"/{route}", body, headers=[("Origin", own(probe))])
        for name, headers in strangers.items():
            probe.http(f"security.post.{route}.{name}", "POST", f"/{route}", body, headers=list(headers.items()))
        simple = [("Origin", strangers["site"]["Origin"]), ("Content-Type", "text/plain")]
        probe.http(f"security.post.{route}.simple", "POST", f"/{route}", body, headers=simple)
        strangers = {"site": strangers["site"]}  # all of them once, and one at the other routes


@scenario("security.token")
def tokens(probe: Probe) -> None:
    """Requests without the token, with a wrong one, and with the right one in a place where it must not work."""
    token = probe.recorder.token
    probe.facts["token"] = bool(token)
    _knock(probe, "none", "")
    if not token:
        return
    for name, wrong in (("short", token[:-1]), ("long", f"{token}x"), ("case", token.swapcase())):
        if wrong not in ("", token):
            _knock(probe, name, wrong)
    probe.http("security.token.basic", "GET", "/schema", token="", headers=[("Authorization", f"Basic {token}")])
    for key in ("token", "access_token"):
        probe.http(f"security.url.{key}", "GET", f"/schema?{key}={token}", token="")
        probe.connect(f"security.url.{key}.ws", f"/ws?{key}={token}", token="").close()


@scenario("security.ids", alone=True)
def session_ids(probe: Probe) -> None:
    """Some ids of sessions, from each door that has them."""
    for number in range(IDS):
        with probe.session(f"security.id.{number}") as session:
            session.ask({"type": "mcp", "data": CREATE}, "create")
    for number in range(IDS):
        result = _created(probe, number)
        if result is None:
            break
        close = {**CREATE, "method": "openenv/session/close", "params": result}
        probe.http(f"security.close.{number}", "POST", "/mcp", close)


@scenario("security.errors")
def errors(probe: Probe) -> None:
    """Requests on which a careless server tells what it is made of."""
    for name, frame in _provoking(probe):
        with probe.session(f"security.error.{name}") as session:
            session.ask(probe.reset(), "reset")
            session.ask(frame, "error")
    for name, method, path, body in (
        ("path", "GET", "/%ff%00", None),
        ("json", "POST", "/step", b'{"action":'),
        ("bytes", "POST", "/mcp", b"\xff\xfe"),
        ("raises", "POST", "/step", {"action": probe.inputs.raises or {}}),
    ):
        probe.http(f"security.error.http.{name}", method, path, body)


@scenario("security.addresses")
def addresses(probe: Probe) -> None:
    """Connections to other addresses of this machine, where the server was reached on loopback."""
    if not _is_loopback(probe.recorder.host):
        return
    elsewhere = {}
    for address in ("127.0.0.2", *_own_addresses()):
        if address != probe.recorder.host:
            elsewhere[address] = _accepts(address, probe.recorder.port)
    probe.facts["elsewhere"] = elsewhere


def own(probe: Probe) -> str:
    """The Origin of the server's own pages."""
    return probe.recorder.evidence.url.removesuffix(probe.recorder.prefix)


def foreign(probe: Probe) -> Iterator[tuple[str, dict[str, str]]]:
    """Headers of pages that are not the server's, by name."""
    scheme, port = own(probe).partition("://")[0], probe.recorder.port
    name = probe.recorder.host if ":" not in probe.recorder.host else "localhost"
    other = probe.recorder.authority.removesuffix(str(port)) + str(port - 1 if port > 1 else port + 1)
    stranger = f"{name}.attacker.example:{port}"
    yield "site", {"Origin": "https://attacker.example"}
    yield "null", {"Origin": "null"}
    yield "port", {"Origin": f"{scheme}://{other}"}
    yield "name", {"Origin": f"{scheme}://{stranger}"}
    if _is_loopback(probe.recorder.host):
        yield REBINDING, {"Origin": f"{scheme}://{stranger}", "Host": stranger}


def _posts(probe: Probe) -> Iterator[tuple[str, Any]]:
    """The routes for POST that a server may have, each with a body."""
    yield "mcp", NOTHING
    yield "reset", {}
    yield "step", {"action": probe.actions[0] if probe.actions else {}}
    names = parsed(probe.http("security.environments", "GET", "/list_environments").body)
    if isinstance(names, list) and names:
        yield f"{names[0]}/tasks", {"split": "train"}


def _created(probe: Probe, number: int) -> dict[str, Any] | None:
    """The result of `openenv/session/create`, asked again while sessions that have ended still count."""
    for attempt in range(10):
        created = parsed(probe.http(f"security.create.{number}.{attempt}", "POST", "/mcp", CREATE).body)
        error = created.get("error") if isinstance(created, dict) else None
        if not isinstance(error, dict) or error.get("code") != -32000:
            break
        time.sleep(0.1)
    result = created.get("result") if isinstance(created, dict) else None
    return {"session_id": result["session_id"]} if isinstance(result, dict) and "session_id" in result else None


def _knock(probe: Probe, name: str, token: str) -> None:
    """Ask for everything with a token that is not right."""
    probe.http(f"security.token.{name}.health", "GET", "/health", token=token)
    for path in GETS:
        probe.http(f"security.token.{name}.{path}", "GET", f"/{path}", token=token)
    for path, body in (("mcp", NOTHING), ("reset", {}), ("step", {"action": {}})):
        probe.http(f"security.token.{name}.post.{path}", "POST", f"/{path}", body, token=token)
    probe.connect(f"security.token.{name}.ws", token=token).close()


def _provoking(probe: Probe) -> Iterator[tuple[str, Any]]:
    yield "json", '{"type":"step","data":{'
    yield "seed", {"type": "reset", "data": {"seed": ["no", "number"]}}
    yield "action", {"type": "step", "data": {"no_such_field": {}}}
    yield "mcp", {"type": "mcp", "data": CALL}
    if probe.inputs.raises is not None:
        yield "raises", {"type": "step", "data": probe.inputs.raises}


def _is_loopback(host: str) -> bool:
    try:
        return all(ipaddress.ip_address(it[4][0]).is_loopback for it in sockets.getaddrinfo(host, None))
    except (OSError, ValueError):
        return False


def _own_addresses() -> Iterator[str]:
    """The addresses that this machine shows to others, one of each kind. Connecting a datagram socket sends nothing."""
    for family, somewhere in ((sockets.AF_INET, "192.0.2.1"), (sockets.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), sockets.socket(family, sockets.SOCK_DGRAM) as sock:
            sock.connect((somewhere, 9))
            yield sock.getsockname()[0]


def _accepts(address: str, port: int) -> bool:
    try:
        sockets.create_connection((address, port), 1.0).close()
    except OSError:
        return False
    return True
