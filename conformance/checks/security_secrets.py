"""Section 14 of the specification: session ids that nobody guesses, and errors that tell nothing."""

from __future__ import annotations

import json
import math
import re
import string
from collections.abc import Iterator
from typing import Any

from conformance.checks import check
from conformance.evidence import Exchange, Socket
from conformance.recorder import parsed
from conformance.view import Broken, Missing, NotApplicable, View, short

BITS = 122
PLACES = 6
"""Errors that are shown where all is well."""
CHANCE = 12
"""Bits by which an id may look shorter, since a few ids agree in some digits by chance (three of 32, once in 10^8)."""
ALPHABETS = (string.digits, "0123456789abcdef", "0123456789ABCDEF", string.digits + string.ascii_lowercase)
TRACEBACK = re.compile(
    r"Traceback \(most recent call last\)|File \"[^\"\n]+\", line \d+|\n\s+at \S+[ (].*:\d+|\w+\.java:\d+\)"
    r"|goroutine \d+ \[|panicked at |stack backtrace:"
)
DIRECTORIES = "home|root|usr|opt|var|tmp|srv|etc|mnt|private|Users|workspace|app|site-packages|dist-packages"
FILE_PATH = re.compile(rf"(?<![\w.:/-])/(?:[\w.@+-]+/)*?(?:{DIRECTORIES})/[\w.@+/-]+|\b[A-Za-z]:\\(?:[\w.@+ -]+\\)+")
OWN_WORDS = ("EXECUTION_ERROR", -32603)
"""Codes of errors whose message may be the environment's own."""


@check("SEC-11")
def random_ids(view: View) -> str:
    doors = [list(_ids(view, "security.id.")), list(_ids(view, "security.create."))]
    if not any(doors):
        raise NotApplicable("the server tells no session ids: it does not know `openenv/session/create`")
    found = []
    for ids in filter(None, doors):
        if len(ids) < 2:
            raise Missing(f"one session id alone was seen: {ids[0]}")
        bits = _bits(ids)
        if bits < BITS - CHANCE:
            raise Broken(f"session ids such as {ids[0]} and {ids[1]} have at most {bits:.0f} random bits")
        found.append(ids[0])
    return f"such as {found[0]}"


@check("SEC-12")
def silent_errors(view: View) -> None:
    for name, index, code, text, sent in _errors(view):
        leak = TRACEBACK.search(text)
        if leak is None and code not in OWN_WORDS:
            leak = next((it for it in FILE_PATH.finditer(text) if it[0] not in sent), None)
        if leak is not None or len(view.trail) < PLACES:
            view.trail[:] = [] if leak else view.trail
            view.look(name, index)
        if leak is not None:
            raise Broken(f"an error tells {short(leak[0].strip(), 60)}: {short(text)}")
    if not view.trail:
        raise Missing("no error was received")


def _ids(view: View, start: str) -> Iterator[str]:
    """The session ids that were issued in conversations whose names begin so."""
    for name, it in list(view.evidence.conversations.items()):
        if name.startswith(start):
            bodies = [event.payload for _, event in it.received()] if isinstance(it, Socket) else [it.body]
            for body in bodies[:1]:
                id = _session_id(parsed(body))
                if id is not None:
                    view.look(name)
                    yield id


def _session_id(message: Any) -> str | None:
    if isinstance(message, dict) and message.get("type") == "mcp":
        message = message.get("data")
    result = message.get("result") if isinstance(message, dict) else None
    id = result.get("session_id") if isinstance(result, dict) else None
    return id if isinstance(id, str) else None


def _bits(ids: list[str]) -> float:
    """Bits that ids can hold at most: their digits that are not the same in all."""
    length = min(map(len, ids))
    if len(set(ids)) < len(ids):
        return 0.0
    varying = [column for column in zip(*(id[:length] for id in ids), strict=True) if len(set(column)) > 1]
    letters = {letter for column in varying for letter in column}
    alphabet = next((it for it in ALPHABETS if letters <= set(it)), None)
    return len(varying) * math.log2(len(alphabet) if alphabet else 64)


def _errors(view: View) -> Iterator[tuple[str, int | None, Any, str, str]]:
    """Every error: its conversation and event, its code, its text, and what was sent there."""
    for name, it in view.evidence.conversations.items():
        if isinstance(it, Exchange):
            sent = it.path + it.sent.decode(errors="replace")
            yield from ((name, None, code, text, sent) for code, text in _texts(it.body, it.status >= 400))
        elif it.subprotocol is None:
            sent = "".join(event.payload.decode(errors="replace") for event in it.events if event.kind == "send")
            for index, event in it.received():
                yield from ((name, index, code, text, sent) for code, text in _texts(event.payload, False))


def _texts(body: bytes, failed: bool) -> Iterator[tuple[Any, str]]:
    """The code and the text of an error; what it repeats of the request is left out."""
    document = parsed(body)
    if document is None and failed:
        yield None, body.decode(errors="replace")
    if not isinstance(document, dict):
        return
    inner = document.get("data") if document.get("type") in ("error", "mcp") else document
    error = inner.get("error") if isinstance(inner, dict) else None
    if document.get("type") == "error":
        error = inner
    if isinstance(error, dict):
        yield error.get("code"), _words(error)
    elif failed:
        yield None, _words(document)


def _words(value: Any) -> str:
    """The strings in a value, one a line."""
    if isinstance(value, dict):
        return "\n".join(_words(inner) for key, inner in value.items() if key not in ("input", "url"))
    if isinstance(value, list):
        return "\n".join(map(_words, value))
    return value if isinstance(value, str) else json.dumps(value)
