"""Reports to test: small ones of hand-made evidence, and one of a server that attacks whoever reads about it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cache
from typing import Any

from conformance.broken import COUNTER, Healthy, examine
from conformance.broken.wire import Channel, Request, Response
from conformance.catalogue import NEWEST, requirements
from conformance.evidence import Event, Evidence, Exchange, Socket
from conformance.report import Report
from conformance.runner import Outcome, Result
from conformance.view import Place

ATTACK = "</script></pre><img src=x onerror=\"document.title='owned'\"><svg onload=alert(1)>`${7*7}`&lt;"
CONTROLS = "\x00\x08\x1b[31m\x7f\u0085\u2028\u202egpj\ufeff\uffff"

BY_ID = {it.id: it for it in requirements()}


def result(id: str, outcome: Outcome, message: str = "", *trail: Place) -> Result:
    """A result on a requirement of the catalogue."""
    return Result(BY_ID[id], outcome, message, trail)


def report(
    *results: Result,
    expected: Mapping[str, str] | None = None,
    evidence: Evidence | None = None,
    profile: str = "core",
) -> Report:
    """A report on `./counter`."""
    return Report("./counter", profile, NEWEST, evidence or small_evidence(), results, expected or {})


def small_evidence() -> Evidence:
    """One session and one request."""
    session = Socket(
        "session",
        "/ws",
        0.5,
        request=[("Host", "127.0.0.1:8000"), ("Authorization", "Bearer correct horse battery")],
        status=101,
        response=[("Upgrade", "websocket")],
        events=[
            Event(0.6, "send", "text", b'{"type":"state"}', "state", 16),
            Event(0.7, "receive", "text", "é".encode() * 3000, size=6000),
            Event(0.8, "send", "ping", b"hello", "ping", 5),
            Event(0.9, "receive", "binary", bytes(range(256)) * 4, size=1024, frames=3),
            Event(1.0, "silence", seconds=0.3),
            Event(1.1, "timeout", seconds=4.0),
            Event(1.2, "close", code=1009, text="too big"),
        ],
    )
    health = Exchange(
        "health",
        "GET",
        "/health?token=correct%20horse%20battery",
        0.1,
        0.02,
        request=[("Host", "127.0.0.1:8000")],
        status=503,
        response=[("Content-Type", "text/plain")],
        body=b"\xff\xfe",
    )
    facts = {
        "started": "2026-11-25T10:00:00Z",
        "seconds": 1.5,
        "inputs": {"private": ["forty-two"], "actions": [{"by": float("inf")}]},
        "stopped": "\ud800",
    }
    return Evidence("http://127.0.0.1:8000", facts, {"session": session, "health": health})


class Hostile(Healthy):
    """A server whose every message is meant for the reader of the report."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = itertools.count()

    def say(self, channel: Channel, session: Any, request: Any, reply: Any) -> None:
        """Markup, lone surrogates, control characters, bytes, in turn."""
        turn = next(self.turns) % 4
        if turn == 0:
            channel.send(self.encode({"type": ATTACK, "data": {"message": ATTACK, ATTACK: ATTACK}}))
        elif turn == 1:
            channel.send('{"type":"error","data":{"message":"\\ud800 ' + "</script>" + ' \\udfff","code":"\\ud83d"}}')
        elif turn == 2:
            channel.send(ATTACK + CONTROLS)
        else:
            channel.send_binary(bytes(range(256)) + ATTACK.encode())

    def shut(self, channel: Channel, after: Any) -> None:
        """Close with markup as the reason."""
        channel.close(4000, ATTACK)

    def alter_response(self, request: Request, response: Response) -> Response:
        """Markup in bodies and headers."""
        headers = {**response.headers, "X-Attack": ATTACK}
        return Response(response.status, ATTACK.encode() + CONTROLS.encode() + b"\xff", headers)


@cache
def hostile_report() -> Report:
    """The report on the hostile server, with a hostile name."""
    evidence, results = examine(Hostile(), COUNTER)
    return Report(f"./{ATTACK}{CONTROLS}\ud800", "all", NEWEST, evidence, tuple(results), {"WS-9": ATTACK + CONTROLS})
