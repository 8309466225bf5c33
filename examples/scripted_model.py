"""A model that says what a tape says, for tests and demonstrations of harnesses without a real one.

It speaks `POST /v1/chat/completions` as OpenAI does and `POST /v1/messages` as Anthropic does, whole and as streams of
events, and keeps the requests, so that a test can tell what a harness has sent to its model.

    python examples/scripted_model.py tape.json --port 9000

The tape is a list of replies, each with text, calls of tools, or both:
`[{"calls": [{"name": "act", "arguments": {"action": 1}}]}, {"text": "done"}]`. The program prints its URL, then every
request as a line of JSON, without the headers: there is an API key in them.
In Python a tape may also be a function from the messages of a request to the reply:

    with ScriptedModel([Reply(text="hello")]) as model:
        openai.OpenAI(base_url=f"{model.url}/v1", api_key="none")
        anthropic.Anthropic(base_url=model.url, api_key="none")
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any, Self, TextIO
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError


class Call(BaseModel):
    """A call of a tool."""

    model_config = ConfigDict(extra="forbid")
    name: str
    arguments: dict[str, Any] = {}


class Reply(BaseModel):
    """What the model says in one turn: text, calls of tools, or both."""

    model_config = ConfigDict(extra="forbid")
    text: str = ""
    calls: list[Call] = []


Messages = list[dict[str, Any]]
Tape = Sequence[Reply] | Callable[[Messages], Reply | None]
"""Replies in their order, or a function from the messages of a request, as its API has them; None is the tape's end."""


class ScriptedModel:
    """Serves a tape on the loopback interface, from `with` on until its end.

    Args:
        tape: What the model says. Past its end requests are refused (400).
        port: 0 lets the system choose.
        log: Takes a line of JSON for every request: its path and its body.
    """

    def __init__(self, tape: Tape, port: int = 0, log: TextIO | None = None) -> None:
        self.requests: list[dict[str, Any]] = []
        """`path`, `headers` (their names in lower case) and `body` (text if it is no JSON); of refused ones too."""
        self._tape = tape
        self._log = log
        self._taken = 0
        self._ids = count(1)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), partial(_Handler, self._answer))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """The address that Anthropic's SDK takes; OpenAI's takes it with `/v1`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, target: str, headers: dict[str, str], raw: bytes) -> tuple[int, str, bytes]:
        """Status, content type and body of the response to a request."""
        path = urlsplit(target).path
        api = _MessagesApi() if path.startswith(_MessagesApi.path) else _ChatApi()
        try:
            body = json.loads(raw)
        except ValueError:
            body = raw.decode(errors="replace")
        self._record({"path": target, "headers": headers, "body": body})
        try:
            if path != api.path:
                raise _Refused(404, f"no such path: {path}; there are {_ChatApi.path} and {_MessagesApi.path}")
            request = _checked(api.request, body)
            reply = self._reply(request.messages)
        except _Refused as refusal:
            return refusal.status, "application/json", _json(api.error(refusal.status, str(refusal)))
        used = len(str(body).split()), len(str(reply).split())  # words: a tape knows of no tokens
        answer = api.answer(reply, request.model, next(self._ids), used)
        if request.stream:
            return 200, "text/event-stream", b"".join(api.events(answer, request))
        return 200, "application/json", _json(answer)

    def _record(self, request: dict[str, Any]) -> None:
        with self._lock:
            self.requests.append(request)
            if self._log is not None:
                print(json.dumps({"path": request["path"], "body": request["body"]}), file=self._log, flush=True)

    def _reply(self, messages: Messages) -> Reply:
        if callable(self._tape):
            try:
                reply = self._tape(messages)
            except Exception as exc:
                raise _Refused(400, f"the tape failed: {exc!r}") from None  # after a 5xx the SDKs would ask again
            if reply is None:
                raise _Refused(400, "the tape has ended")
            return reply
        with self._lock:
            if self._taken == len(self._tape):
                raise _Refused(400, f"the tape has ended: it has {len(self._tape)} replies")
            self._taken += 1
            return self._tape[self._taken - 1]


def tool_results(messages: Messages) -> list[str]:
    """The texts of the results of tools in the messages of either API, the last one last."""
    texts = []
    for result in [result for message in messages for result in _results(message)]:
        content = result.get("content") or ""
        texts.append(content if isinstance(content, str) else "".join(part.get("text", "") for part in content))
    return texts


# Requests


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Request(BaseModel):
    model: str
    messages: Messages = Field(min_length=1)
    stream: bool = False
    stream_options: dict[str, Any] | None = None


class _MessagesRequest(_Request):
    max_tokens: int = Field(ge=1)


def _checked(kind: type[_Request], body: Any) -> _Request:
    """The request, of such a kind. Raises `_Refused`."""
    try:
        request = kind.model_validate(body)
    except ValidationError as exc:
        first = exc.errors()[0]
        raise _Refused(400, f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from None
    # Both APIs refuse a call without its result in the next message, and a result without its call.
    waiting: set[str] = set()
    for message in request.messages:
        results = {str(result.get("tool_call_id") or result.get("tool_use_id")) for result in _results(message)}
        if waiting and not results:
            break
        if not results <= waiting:
            raise _Refused(400, f"messages: a tool result for {', '.join(sorted(results - waiting))}, which is no call")
        waiting = waiting - results | _calls(message)
    if waiting:
        raise _Refused(400, f"messages: no tool result for the call {', '.join(sorted(waiting))}")
    return request


def _calls(message: dict[str, Any]) -> set[str]:
    """The ids of the calls that an assistant's message has."""
    blocks = [block for block in _dicts(message.get("content")) if block.get("type") == "tool_use"]
    return {str(call.get("id")) for call in _dicts(message.get("tool_calls")) + blocks}


def _results(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of tools in a message: OpenAI's is one, Anthropic's has blocks of them."""
    if message.get("role") == "tool":
        return [message]
    return [block for block in _dicts(message.get("content")) if block.get("type") == "tool_result"]


def _dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none of anything else, as of a content that is text."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


# The two APIs


class _ChatApi:
    """OpenAI's chat completions."""

    path = "/v1/chat/completions"
    request = _Request

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}

    def answer(self, reply: Reply, model: str, id: int, used: tuple[int, int]) -> dict[str, Any]:
        text = None if reply.calls and not reply.text else reply.text
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if reply.calls:
            message["tool_calls"] = [
                {
                    "id": f"call_{id}_{i}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                }
                for i, call in enumerate(reply.calls)
            ]
        choice = {"index": 0, "finish_reason": "tool_calls" if reply.calls else "stop", "logprobs": None}
        return {
            "id": f"chatcmpl-{id}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [{**choice, "message": message}],
            "usage": {"prompt_tokens": used[0], "completion_tokens": used[1], "total_tokens": sum(used)},
        }

    def events(self, answer: dict[str, Any], request: _Request) -> Iterator[bytes]:
        (choice,) = answer["choices"]
        delta = dict(choice["message"])
        if "tool_calls" in delta:
            delta["tool_calls"] = [{"index": i, **call} for i, call in enumerate(delta["tool_calls"])]
        common = {key: answer[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
        ends = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"], "logprobs": None}
        yield _event({**common, "choices": [{**ends, "delta": delta, "finish_reason": None}]})
        yield _event({**common, "choices": [ends]})
        if (request.stream_options or {}).get("include_usage"):
            yield _event({**common, "choices": [], "usage": answer["usage"]})
        yield b"data: [DONE]\n\n"


class _MessagesApi:
    """Anthropic's messages."""

    path = "/v1/messages"
    request = _MessagesRequest

    def error(self, status: int, message: str) -> dict[str, Any]:
        kind = "not_found_error" if status == 404 else "invalid_request_error"
        return {"type": "error", "error": {"type": kind, "message": message}}

    def answer(self, reply: Reply, model: str, id: int, used: tuple[int, int]) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
        content += [
            {"type": "tool_use", "id": f"toolu_{id}_{i}", "name": call.name, "input": call.arguments}
            for i, call in enumerate(reply.calls)
        ]
        return {
            "id": f"msg_{id}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": "tool_use" if reply.calls else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": used[0], "output_tokens": used[1]},
        }

    def events(self, answer: dict[str, Any], request: _Request) -> Iterator[bytes]:
        yield _named("message_start", message={**answer, "content": [], "stop_reason": None})
        start: dict[str, Any]
        for i, block in enumerate(answer["content"]):
            if block["type"] == "text":
                start, delta = {"text": ""}, {"type": "text_delta", "text": block["text"]}
            else:
                start, delta = {"input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            yield _named("content_block_start", index=i, content_block=block | start)
            yield _named("content_block_delta", index=i, delta=delta)
            yield _named("content_block_stop", index=i)
        ends = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
        yield _named("message_delta", delta=ends, usage={"output_tokens": answer["usage"]["output_tokens"]})
        yield _named("message_stop")


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _event(data: Any) -> bytes:
    return b"data: " + _json(data) + b"\n\n"


def _named(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\n".encode() + _event({"type": kind, **data})


# HTTP


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128  # harnesses come by the dozen


class _Handler(BaseHTTPRequestHandler):
    """Answers POST, one request for each connection, so that none outlives the server."""

    wbufsize = -1  # headers and body in one packet

    def __init__(self, answer: Callable[[str, dict[str, str], bytes], tuple[int, str, bytes]], *arguments: Any) -> None:
        self._answer = answer
        super().__init__(*arguments)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, kind, body = self._answer(self.path, {name.lower(): value for name, value in self.headers.items()}, raw)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # 404 in JSON; after http.server's own 501 the SDKs would ask again

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the requests are kept."""


def main() -> None:
    parser = argparse.ArgumentParser(description="A model that says what a tape says.")
    parser.add_argument("tape", type=Path, help="a JSON file: a list of replies")
    parser.add_argument("--port", type=int, default=0, help="0, the default, lets the system choose")
    arguments = parser.parse_args()
    try:
        tape = TypeAdapter(list[Reply]).validate_json(arguments.tape.read_bytes())
    except (OSError, ValidationError) as exc:
        parser.error(f"{arguments.tape} is no tape: {exc}")
    with ScriptedModel(tape, arguments.port, log=sys.stdout) as model:
        print(model.url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
