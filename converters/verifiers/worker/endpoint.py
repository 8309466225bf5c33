"""The model of all seats of a v1 environment: an HTTP server on the loopback interface; its completions are actions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from lane import chat_completion


@dataclass(eq=False)
class Call:
    """A model call that waits for its completion.

    Attributes:
        trace: The id of the seat's trace.
        body: As OpenAI's chat has it.
        action: What the policy says.
    """

    trace: str
    body: dict[str, Any]
    action: asyncio.Future[Mapping[str, Any]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Endpoint:
    """Gives each model call to the session that has begun its trace.

    It refuses with 4xx, never with 5xx: those are asked again.
    """

    def __init__(self) -> None:
        self._sinks: dict[str, asyncio.Queue[Call]] = {}
        self._waiting: dict[str, set[Call]] = {}

    async def start(self) -> str:
        """The base URL of the model."""
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        await self._runner.cleanup()

    def join(self, trace: str, sink: asyncio.Queue[Call]) -> None:
        """Calls of a trace go to a queue from now on."""
        self._sinks[trace] = sink
        self._waiting[trace] = set()

    def leave(self, trace: str) -> None:
        """The trace is over; calls of it that still wait are refused."""
        self._sinks.pop(trace, None)
        for call in self._waiting.pop(trace, ()):
            call.action.cancel()

    async def _answer(self, request: web.Request) -> web.Response:
        trace = request.headers.get("X-Session-ID", "")  # verifiers' name of the trace
        sink = self._sinks.get(trace)
        if sink is None:
            return _refusal(404, "there is no such rollout")
        call = Call(trace, await request.json())
        waiting = self._waiting[trace]
        waiting.add(call)
        sink.put_nowait(call)
        await asyncio.wait({call.action})
        waiting.discard(call)
        if call.action.cancelled():
            return _refusal(400, "the rollout is over")
        answer = completion(call)
        if call.body.get("stream"):
            return web.Response(body=_events(answer), content_type="text/event-stream")
        return web.json_response(answer)


def completion(call: Call) -> dict[str, Any]:
    """The completion that says what the action says. Ids of tool calls are made unique in the conversation."""
    taken = {asked["id"] for message in call.body["messages"] for asked in message.get("tool_calls") or ()}
    return chat_completion(call.action.result(), taken)


def _events(answer: Mapping[str, Any]) -> bytes:
    """A completion as a stream of one delta."""
    choice = answer["choices"][0]
    calls = [{"index": at, **call} for at, call in enumerate(choice["message"].get("tool_calls", ()))]
    delta = {**choice["message"], **({"tool_calls": calls} if calls else {})}
    head = {**answer, "object": "chat.completion.chunk"}
    chunks = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
    ]
    return b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status)
