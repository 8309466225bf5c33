"""Evidence: what was sent and received on the wire, with times. Checks judge it; nothing else is asked of a server.

Evidence is a set of named conversations, each one WebSocket connection (`Socket`) or one HTTP request (`Exchange`).
All times are seconds since the run began. Written to a directory it can be judged again without the server.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from conformance.errors import ConformanceError

FORMAT = "openenv-evidence/1"
MAX_SENT = 64 * 1024
"""Bytes of a message of ours that are kept; the rest is filling."""
MAX_RECEIVED = 16 * 1024 * 1024
"""Bytes of a message or body of the server that are kept."""

Kind = Literal["send", "receive", "close", "eof", "silence", "timeout", "violation"]
Headers = list[tuple[str, str]]


class EvidenceError(ConformanceError):
    """A directory that holds no evidence, or evidence of another format."""


@dataclass(slots=True)
class Event:
    """Something that happened on a WebSocket.

    Attributes:
        at: When, in seconds.
        kind: `send` and `receive` of a message, ping or pong; `close` received; `eof` without one; `silence` that we
            waited through; `timeout` of a reply that did not come; `violation` of RFC 6455 by the server.
        opcode: `text`, `binary`, `ping` or `pong`.
        payload: The message's bytes, at most `MAX_SENT` or `MAX_RECEIVED` of them.
        label: What a request of ours is for; a check finds its reply by it.
        size: Bytes of the whole message.
        frames: WebSocket frames that it came in or left in.
        code: Close code; 1005 where the close frame had none.
        text: Reason of a close, words of a violation.
        seconds: How long a silence or a timeout lasted.
    """

    at: float
    kind: Kind
    opcode: str = ""
    payload: bytes = b""
    label: str = ""
    size: int = 0
    frames: int = 1
    code: int | None = None
    text: str = ""
    seconds: float = 0.0
    parsed: Any = field(default=None, init=False, repr=False, compare=False)
    """The payload as JSON once it was parsed: three hundred checks look at the same messages."""
    shown: dict[str, Any] | None = field(default=None, init=False, repr=False, compare=False)
    """The values of an observation of a Gymnasium environment once they were decoded, for the same reason."""

    @property
    def is_message(self) -> bool:
        """Whether it is a data message rather than a ping, a pong or the end."""
        return self.kind in ("send", "receive") and self.opcode in ("text", "binary")


@dataclass(slots=True)
class Socket:
    """One WebSocket connection. `status` is 0 where no answer to the handshake came; `error` says why then."""

    name: str
    path: str
    at: float = 0.0
    request: Headers = field(default_factory=list)
    status: int = 0
    response: Headers = field(default_factory=list)
    body: bytes = b""
    error: str = ""
    events: list[Event] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether the handshake succeeded."""
        return self.status == 101

    def header(self, name: str) -> str | None:
        """A header of the server's answer."""
        return _header(self.response, name)

    @property
    def subprotocol(self) -> str | None:
        """What the server selected."""
        return self.header("Sec-WebSocket-Protocol")

    def find(self, label: str) -> int | None:
        """The index of the request with a label."""
        return next((i for i, event in enumerate(self.events) if event.kind == "send" and event.label == label), None)

    def received(self, start: int = 0) -> Iterator[tuple[int, Event]]:
        """The server's data messages from an index on, with their indexes."""
        for index in range(start, len(self.events)):
            event = self.events[index]
            if event.kind == "receive" and event.is_message:
                yield index, event

    @property
    def end(self) -> Event | None:
        """How the server ended the connection, if it did."""
        return next((event for event in self.events if event.kind in ("close", "eof", "violation")), None)


@dataclass(slots=True)
class Exchange:
    """One HTTP request and its response. `status` is 0 where none came; `error` says why then."""

    name: str
    method: str
    path: str
    at: float = 0.0
    seconds: float = 0.0
    request: Headers = field(default_factory=list)
    sent: bytes = b""
    status: int = 0
    response: Headers = field(default_factory=list)
    body: bytes = b""
    error: str = ""

    def header(self, name: str) -> str | None:
        """A header of the response."""
        return _header(self.response, name)

    @property
    def json(self) -> Any:
        """The body as JSON. Raises `ValueError` where it is none."""
        return json.loads(self.body)


def _header(headers: Headers, name: str) -> str | None:
    return next((value for key, value in headers if key.lower() == name.lower()), None)


@dataclass(slots=True)
class Evidence:
    """All conversations of one run, and what the run was.

    Attributes:
        url: The server.
        facts: What the run was given and found: `inputs`, `actions`, `capacity`, `process`, `started`, versions.
        conversations: By name.
    """

    url: str
    facts: dict[str, Any] = field(default_factory=dict)
    conversations: dict[str, Socket | Exchange] = field(default_factory=dict)

    def sockets(self) -> list[Socket]:
        """The WebSocket connections."""
        return [it for it in self.conversations.values() if isinstance(it, Socket)]

    def exchanges(self) -> list[Exchange]:
        """The HTTP requests."""
        return [it for it in self.conversations.values() if isinstance(it, Exchange)]

    def files(self) -> dict[str, str]:
        """The names of the files that the conversations are written to."""
        return {name: f"{number:03}-{_file_name(name)}.json" for number, name in enumerate(self.conversations)}

    def write(self, directory: Path) -> None:
        """Write it to a directory: `run.json`, and a file for each conversation."""
        directory.mkdir(parents=True, exist_ok=True)
        files = self.files()
        for name, file in files.items():
            _write(directory / file, conversation_to_json(self.conversations[name]))
        run = {"format": FORMAT, "url": self.url, "facts": self.facts, "conversations": list(files.values())}
        _write(directory / "run.json", run)

    @classmethod
    def read(cls, directory: Path) -> Evidence:
        """Read what `write` wrote. Raises `EvidenceError`."""
        try:
            run = json.loads((directory / "run.json").read_text(encoding="utf-8"))
            if run["format"] != FORMAT:
                raise EvidenceError(f"{directory} has evidence of format {run['format']!r}; accepted is {FORMAT!r}")
            evidence = cls(run["url"], run["facts"])
            for file in run["conversations"]:
                conversation = conversation_from_json(json.loads((directory / file).read_text(encoding="utf-8")))
                evidence.conversations[conversation.name] = conversation
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise EvidenceError(f"{directory} holds no evidence that can be read: {type(exc).__name__}: {exc}") from exc
        return evidence


def conversation_to_json(conversation: Socket | Exchange) -> dict[str, Any]:
    """A conversation as JSON: bytes are text where they are UTF-8, else base64."""
    document = _fields(conversation)
    document["kind"] = "socket" if isinstance(conversation, Socket) else "exchange"
    if isinstance(conversation, Socket):
        document["events"] = [_fields(event) for event in conversation.events]
    return document


def conversation_from_json(document: Mapping[str, Any]) -> Socket | Exchange:
    """The inverse of `conversation_to_json`."""
    values = {key: _value(value) for key, value in document.items() if key not in ("kind", "events")}
    for key in ("request", "response"):
        values[key] = [(name, value) for name, value in values.get(key, [])]
    if document["kind"] == "exchange":
        return Exchange(**values)
    events = [Event(**{key: _value(value) for key, value in event.items()}) for event in document["events"]]
    return Socket(**values, events=events)


def _fields(thing: Any) -> dict[str, Any]:
    """The fields that are not at their default."""
    document: dict[str, Any] = {}
    for it in fields(thing):
        value = getattr(thing, it.name)
        if it.compare and it.name != "events" and (value or not isinstance(value, list)) and value != it.default:
            document[it.name] = _bytes_to_json(value) if isinstance(value, bytes) else value
    return document


def _bytes_to_json(value: bytes) -> dict[str, str]:
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return value["text"].encode() if "text" in value else base64.b64decode(value["base64"])
    return value


def _write(path: Path, document: Any) -> None:
    text = json.dumps(document, indent=1, ensure_ascii=False)
    path.write_text(text, encoding="utf-8", errors="backslashreplace")  # a lone surrogate as JSON escapes it


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
