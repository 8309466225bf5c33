"""Replays a golden transcript against a server: raw frames and bytes, no client of anybody's."""

from __future__ import annotations

import ast
import re
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

_VOLATILE = [
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"https://errors\.pydantic\.dev/[\d.]+/"), "<pydantic>/"),
    (re.compile(r'"ident":\d+,"name":"[^"]+","inst":\d+,"instances":\d+,"closed":\d+'), "<thread>"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "<server>"),
    # The transcripts were taken with the probe environment as the main module.
    (re.compile(r"__main__\."), "probe_env."),
]
_KEPT_UUID = "00000000-0000-0000-0000-000000000001"  # an answer of the probe, not volatile


def normal(text: str) -> str:
    """Text without what differs from run to run."""
    text = text.replace(_KEPT_UUID, "<kept>")
    for pattern, replacement in _VOLATILE:
        text = pattern.sub(replacement, text)
    return text


def http_case(url: str, request: dict[str, Any]) -> dict[str, Any]:
    """The normalised response to a recorded request."""
    body = request["body"]
    response = httpx.request(
        request["method"],
        url + request["path"],
        headers=request["headers"],
        content=None if body is None else body.encode(),
        timeout=30,
        trust_env=False,
    )
    return normal_response(
        {"status": response.status_code, "headers": dict(response.headers), "body": response.content.decode()},
        head=request["method"] == "HEAD",
    )


def normal_response(response: dict[str, Any], *, head: bool = False) -> dict[str, Any]:
    headers = {name: normal(value) for name, value in response["headers"].items() if name != "date"}
    # The length is that of the body before it was normalised, so it is compared with that body.
    length = headers.pop("content-length", None)
    if not head:
        assert length is None or int(length) == len(response["body"].encode())
    return {"status": response["status"], "headers": headers, "body": normal(response["body"])}


def ws_case(url: str, path: str, script: list[dict[str, Any]], client: dict[str, Any]) -> list[dict[str, Any]]:
    """What happens when the client's part of `script` is played, in the form of `normal_events`.

    Args:
        url: The server.
        path: Where to connect.
        script: The events expected; what they say the client does is done, what the server does is recorded.
        client: `origin` or `subprotocols` of the handshake.
    """
    server = f"ws://{urlsplit(url).netloc}{path}"
    origin = Origin(client["origin"]) if "origin" in client else None
    subprotocols = [Subprotocol(name) for name in client.get("subprotocols", ())] or None
    try:
        ws = connect(server, origin=origin, subprotocols=subprotocols, proxy=None, max_size=None)
    except InvalidStatus as exc:
        response = exc.response
        return [_refused(response.status_code, list(response.headers.raw_items()), bytes(response.body))]
    events: list[dict[str, Any]] = [_handshake(ws.response.status_code, list(ws.response.headers.raw_items()))]
    try:
        with ws:
            for event in script[1:]:
                _play(ws, event, events)
    except ConnectionClosed as exc:
        closed = exc.rcvd
        events.append({"closed": [closed.code, closed.reason] if closed else None})
    return events


def _play(ws: Any, event: dict[str, Any], events: list[dict[str, Any]]) -> None:
    match event:
        case {"c2s": payload}:
            ws.send(payload)
            events.append({"c2s": payload})
        case {"s2c": _}:
            events.append({"s2c": _received(ws.recv(10))})
        case {"silence": seconds}:
            try:
                events.append({"s2c": _received(ws.recv(seconds))})
            except TimeoutError:
                events.append({"silence": seconds})
        case {"pong": True}:
            events.append({"pong": ws.ping(b"hi").wait(5)})
        case {"closed": _}:
            events.append({"s2c": _received(ws.recv(10))})  # raises ConnectionClosed
        case {"client_closes": _}:
            ws.close()
            events.append({"client_closes": ws.close_code})


def normal_events(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a golden case in the form that `ws_case` records."""
    return [_normal_event(event) for event in case["events"]]


def _normal_event(event: dict[str, Any]) -> dict[str, Any]:
    match event:
        case {"handshake": {"status": status, "headers": headers}}:
            return _handshake(status, list(headers.items()))
        case {"handshake_failed": text}:
            # The repr of websockets' InvalidStatus; the bodies are empty.
            status, headers = re.findall(r"status_code=(\d+), .*?Headers\((\[.*?\])\), body=bytearray\(b''\)", text)[0]
            return _refused(int(status), ast.literal_eval(headers), b"")
        case {"c2s": {"binary_hex": data}}:
            return {"c2s": bytes.fromhex(data)}
        case {"s2c": text}:
            return {"s2c": normal(text)}
        case {"silence_s": seconds}:
            return {"silence": seconds}
        case {"closed": closed}:
            return {"closed": [closed["code"], closed["reason"]]}
        case {"final_close": closed}:
            return {"client_closes": closed["code"]}
    return event


def _received(message: str | bytes) -> str | bytes:
    return normal(message) if isinstance(message, str) else message


def _handshake(status: int, headers: list[tuple[str, str]]) -> dict[str, Any]:
    return {"handshake": [status, _headers(headers)]}


def _refused(status: int, headers: list[tuple[str, str]], body: bytes) -> dict[str, Any]:
    return {"refused": [status, _headers(headers), body]}


def _headers(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers if name.lower() not in ("date", "sec-websocket-accept")}
