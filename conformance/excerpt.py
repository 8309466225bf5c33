"""Excerpts of evidence: what a check looked at, with what came just before and after, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from conformance.evidence import Event, Evidence, Exchange, Headers, Socket
from conformance.view import Place

MAX_TEXT = 4096
"""Bytes of a message or body that are shown."""
MAX_HEX = 512
"""Bytes that are shown where they are no text."""
WHOLE = 8
"""Events of a conversation that is shown whole because no event of it stands out."""

Side = Literal["C", "S", ""]


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened in a conversation.

    Attributes:
        at: When, in seconds since the run began.
        side: `C` for the client, `S` for the server, empty for neither.
        opcode: `text`, `binary`, `ping`, `pong`; `http` for a request or response; empty for an event in words.
        words: What happened, where it is no message; the label of a request.
        head: Start line and headers of HTTP.
        text: The message or body, at most `MAX_TEXT` bytes of it; bytes that are no text as hexadecimal digits.
        note: What the text does not show: that it was cut, is no UTF-8, came in several frames.
        code: Of a close.
        marked: Whether the check looked at exactly this.
        skipped: Events left out before it.
    """

    at: float
    side: Side
    opcode: str = ""
    words: str = ""
    head: str = ""
    text: str = ""
    note: str = ""
    code: int | None = None
    marked: bool = False
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some lines of one conversation.

    Attributes:
        name: Of the conversation.
        title: Its method and path.
        status: What it was answered; 0 where it was not.
        lines: In order of time.
        skipped: Events left out after the last line.
    """

    name: str
    title: str
    status: int
    lines: tuple[Line, ...]
    skipped: int = 0


def excerpts(evidence: Evidence, trail: Iterable[Place], before: int = 1, after: int = 1) -> list[Excerpt]:
    """What a trail leads to, by conversation, in the trail's order."""
    places: dict[str, set[int]] = {}
    for place in trail:
        indexes = places.setdefault(place.conversation, set())
        if place.event is not None:
            indexes.add(place.event)
    found = []
    for name, indexes in places.items():
        conversation = evidence.conversations.get(name)
        if isinstance(conversation, Exchange):
            found.append(_exchange(conversation))
        elif isinstance(conversation, Socket):
            found.append(_socket(conversation, indexes, before, after))
    return found


def _exchange(it: Exchange) -> Excerpt:
    start = f"{it.method} {it.path} HTTP/1.1"
    return Excerpt(it.name, f"{it.method} {it.path}", it.status, (_request(it, start, it.sent), _response(it)))


def _socket(it: Socket, marked: set[int], before: int, after: int) -> Excerpt:
    """The events around the marked ones; without any the handshake, and the beginning and the end."""
    count = len(it.events)
    if marked:
        shown = {i for mark in marked for i in range(mark - before, mark + after + 1) if 0 <= i < count}
        lines = []
    else:
        shown = {i for i in range(count) if i < WHOLE // 2 or i >= count - WHOLE // 2}
        lines = [_request(it, f"GET {it.path} HTTP/1.1", b""), _response(it)]
    last = -1
    for index in sorted(shown):
        lines.append(_event(it.events[index], marked=index in marked, skipped=index - last - 1))
        last = index
    return Excerpt(it.name, f"GET {it.path}", it.status, tuple(lines), count - last - 1)


def _request(it: Socket | Exchange, start: str, body: bytes) -> Line:
    text, note = readable(body, len(body))
    return Line(it.at, "C", "http", head=_head(start, it.request), text=text, note=note, marked=True)


def _response(it: Socket | Exchange) -> Line:
    at = it.at + it.seconds if isinstance(it, Exchange) else it.at
    if not it.status:
        return Line(at, "", words=f"no response: {it.error}" if it.error else "no response", marked=True)
    text, note = readable(it.body, len(it.body))
    start = f"HTTP/1.1 {it.status} {_phrase(it.status)}".rstrip()
    head = _head(start, it.response)
    return Line(at, "S", "http", head=head, text=text, note=_notes(note, it.error), marked=True)


def _event(event: Event, *, marked: bool, skipped: int) -> Line:
    match event.kind:
        case "send" | "receive":
            text, note = readable(event.payload, event.size, binary=event.opcode == "binary")
            note = _notes(note, f"in {event.frames} frames" if event.frames > 1 else "")
            side: Side = "C" if event.kind == "send" else "S"
            return Line(event.at, side, event.opcode, event.label, "", text, note, marked=marked, skipped=skipped)
        case "close":
            words = f"close {'without a code' if event.code in (None, 1005) else event.code}"
            words += f", reason {event.text!r}" if event.text else ""
            return Line(event.at, "S", words=words, code=event.code, marked=marked, skipped=skipped)
        case "eof":
            return Line(event.at, "S", words="the connection ends", marked=marked, skipped=skipped)
        case "violation":
            return Line(event.at, "S", words=f"breaks RFC 6455: {event.text}", marked=marked, skipped=skipped)
        case "silence":
            return Line(event.at, "", words=f"silence for {event.seconds:g} s", marked=marked, skipped=skipped)
        case "timeout":
            return Line(event.at, "", words=f"nothing came in {event.seconds:g} s", marked=marked, skipped=skipped)


def readable(payload: bytes, size: int, *, binary: bool = False) -> tuple[str, str]:
    """Bytes as text, and what the text does not show.

    Args:
        size: Bytes of the whole, of which `payload` may be a part.
        binary: Whether they are no text even if they could be read as such.
    """
    part = payload[:MAX_TEXT]
    text = None if binary else _text(part, whole=len(part) == size)
    if text is not None:
        return text, _cut(len(text.encode()), size)
    part = part[:MAX_HEX]
    return _hexadecimal(part), _notes("" if binary else "not UTF-8", _cut(len(part), size))


def _text(part: bytes, *, whole: bool) -> str | None:
    """Bytes as text, None where they are none; a part may end within a character."""
    try:
        return part.decode()
    except UnicodeDecodeError as exc:
        torn = not whole and exc.reason == "unexpected end of data"
        return part[: exc.start].decode() if torn else None


def _notes(*notes: str) -> str:
    return ", ".join(filter(None, notes))


def _cut(shown: int, size: int) -> str:
    return f"the first {shown:,} of {size:,} bytes" if shown < size else ""


def _hexadecimal(data: bytes) -> str:
    """Eight bytes a line, as digits and as ASCII."""
    return "\n".join(
        f"{at:04x}  {row.hex(' '):23}  {''.join(chr(byte) if 32 <= byte < 127 else '.' for byte in row)}"
        for at, row in ((at, data[at : at + 8]) for at in range(0, len(data), 8))
    )


def _head(start: str, headers: Headers) -> str:
    return "\n".join([start, *(f"{name}: {value}" for name, value in headers)])


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
