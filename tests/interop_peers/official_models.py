"""Ask scripted models by official SDKs: `python official_models.py OPENAI_URL ANTHROPIC_URL`, with the peer openai.

By each SDK the model calls a tool, gets its result and says a text, whole and as a stream, and then refuses.
Prints what was seen.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import anthropic
import openai

USER = {"role": "user", "content": "hello"}


def by_openai(url: str) -> dict[str, Any]:
    """The conversation by chat completions."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    function = {"name": "act", "parameters": {"type": "object"}}
    asked: dict[str, Any] = {"model": "m", "tools": [{"type": "function", "function": function}]}

    def whole(messages: list[Any]) -> Any:
        return client.chat.completions.create(messages=messages, **asked)

    def streamed(messages: list[Any]) -> Any:
        with client.chat.completions.stream(messages=messages, **asked) as stream:
            return stream.get_final_completion()

    seen: dict[str, Any] = {}
    for ask in (whole, streamed):
        message = ask([USER]).choices[0].message
        (call,) = message.tool_calls
        result = {"role": "tool", "tool_call_id": call.id, "content": "ok"}
        kept = message.model_dump(
            include={"role", "content", "tool_calls"}, exclude={"tool_calls": {"__all__": "index"}}
        )
        last = ask([USER, kept, result]).choices[0]
        seen[ask.__name__] = [message.content, call.function.name, json.loads(call.function.arguments)]
        seen[ask.__name__] += [last.message.content, last.finish_reason]
    try:
        whole([USER])
    except openai.BadRequestError as exc:
        seen["refused"] = exc.body["message"]
    return seen


def by_anthropic(url: str) -> dict[str, Any]:
    """The conversation by messages."""
    client = anthropic.Anthropic(base_url=url, api_key="none")
    asked: dict[str, Any] = {
        "model": "m",
        "max_tokens": 10,
        "tools": [{"name": "act", "input_schema": {"type": "object"}}],
    }

    def whole(messages: list[Any]) -> Any:
        return client.messages.create(messages=messages, **asked)

    def streamed(messages: list[Any]) -> Any:
        with client.messages.stream(messages=messages, **asked) as stream:
            return stream.get_final_message()

    seen: dict[str, Any] = {}
    for ask in (whole, streamed):
        message = ask([USER])
        text, call = message.content
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "ok"}
        last = ask([USER, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}])
        seen[ask.__name__] = [text.text, call.name, call.input, last.content[0].text, last.stop_reason]
    try:
        whole([USER])
    except anthropic.BadRequestError as exc:
        seen["refused"] = exc.body["error"]["message"]
    return seen


if __name__ == "__main__":
    print(json.dumps({"openai": by_openai(sys.argv[1]), "anthropic": by_anthropic(sys.argv[2])}))
