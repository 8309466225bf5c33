"""The model of a tape, as harnesses meet it: both APIs, whole and as streams of events."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.scripted_model import Call, Messages, Reply, ScriptedModel, tool_results

PROGRAM = Path(__file__).parent.parent / "examples/scripted_model.py"
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
USER = {"role": "user", "content": "hello"}
ACT = Call(name="act", arguments={"action": 1})
LOOK = Call(name="observe")


def ask(model: ScriptedModel | str, path: str, *messages: dict[str, Any], **more: Any) -> httpx.Response:
    """The response to a request with everything that both APIs need."""
    url = model if isinstance(model, str) else model.url
    body = {"model": "m", "max_tokens": 10, "messages": messages or [USER], **more}
    return httpx.post(url + path, json=body, timeout=20)


def events(response: httpx.Response) -> list[tuple[str | None, Any]]:
    """The events of a stream: the name, if it has one, and the data."""
    assert response.headers["Content-Type"] == "text/event-stream"

    def read() -> Iterator[tuple[str | None, Any]]:
        for event in response.text.strip().split("\n\n"):
            *name, data = event.split("\n")
            text = data.removeprefix("data: ")
            yield name[0].removeprefix("event: ") if name else None, text if text == "[DONE]" else json.loads(text)

    return list(read())


def test_chat_completions() -> None:
    """OpenAI's form: text alone, and calls whose arguments are text of JSON."""
    with ScriptedModel([Reply(text="hi"), Reply(calls=[ACT, LOOK])]) as model:
        said, called = (ask(model, CHAT).json() for _ in range(2))
    assert (said["object"], said["model"]) == ("chat.completion", "m")
    (choice,) = said["choices"]
    assert choice["message"] == {"role": "assistant", "content": "hi", "refusal": None}
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    usage = said["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    (choice,) = called["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    calls = choice["message"]["tool_calls"]
    assert [call["type"] for call in calls] == ["function", "function"]
    assert [call["function"] for call in calls] == [
        {"name": "act", "arguments": '{"action": 1}'},
        {"name": "observe", "arguments": "{}"},
    ]
    assert calls[0]["id"] != calls[1]["id"]


def test_messages() -> None:
    """Anthropic's form: blocks of text and of calls."""
    with ScriptedModel([Reply(text="hi"), Reply(text="go", calls=[ACT])]) as model:
        said, called = (ask(model, MESSAGES).json() for _ in range(2))
    assert (said["type"], said["role"], said["model"]) == ("message", "assistant", "m")
    assert (said["content"], said["stop_reason"]) == ([{"type": "text", "text": "hi"}], "end_turn")
    assert min(said["usage"].values()) > 0
    text, call = called["content"]
    assert (text["text"], called["stop_reason"]) == ("go", "tool_use")
    assert (call["type"], call["name"], call["input"]) == ("tool_use", "act", {"action": 1})


def test_a_stream_of_chat_completions() -> None:
    """Chunks with the message, its end, the usage if it is asked for, and the last line."""
    with ScriptedModel([Reply(text="go", calls=[ACT])] * 2) as model:
        plain = events(ask(model, CHAT, stream=True))
        counted = events(ask(model, CHAT, stream=True, stream_options={"include_usage": True}))
    first, last, done = [data for _, data in plain]
    assert {first["object"], last["object"]} == {"chat.completion.chunk"}
    delta = first["choices"][0]["delta"]
    assert (delta["role"], delta["content"]) == ("assistant", "go")
    assert delta["tool_calls"][0]["index"] == 0
    assert delta["tool_calls"][0]["function"] == {"name": "act", "arguments": '{"action": 1}'}
    assert (first["choices"][0]["finish_reason"], last["choices"][0]["finish_reason"]) == (None, "tool_calls")
    assert done == "[DONE]"
    _, _, (_, usage), _ = counted
    assert (usage["choices"], usage["usage"]["total_tokens"] > 0) == ([], True)


def test_a_stream_of_messages() -> None:
    """Each block starts empty, has one delta and stops, between the start and the stop of the message."""
    with ScriptedModel([Reply(text="go", calls=[ACT])]) as model:
        seen = events(ask(model, MESSAGES, stream=True))
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert [name for name, _ in seen] == ["message_start", *block, *block, "message_delta", "message_stop"]
    assert all(name == data["type"] for name, data in seen)
    assert (seen[0][1]["message"]["content"], seen[0][1]["message"]["stop_reason"]) == ([], None)
    assert (seen[1][1]["content_block"], seen[2][1]["delta"]["text"]) == ({"type": "text", "text": ""}, "go")
    assert (seen[4][1]["index"], seen[4][1]["content_block"]["input"]) == (1, {})
    assert json.loads(seen[5][1]["delta"]["partial_json"]) == {"action": 1}
    assert seen[7][1]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("stream", [False, True])
def test_the_end_of_a_tape_is_refused(path: str, stream: bool) -> None:
    """Both APIs share the tape; past its end comes their own form of an error, which no SDK asks again after."""
    with ScriptedModel([Reply(text="1"), Reply(text="2")]) as model:
        assert "1" in ask(model, CHAT).text
        assert "2" in ask(model, MESSAGES).text
        for _ in range(2):
            refused = ask(model, path, stream=stream)
            assert refused.status_code == 400
            error = refused.json()["error"]
            assert (error["type"], error["message"]) == (
                "invalid_request_error", "the tape has ended: it has 2 replies")  # fmt: skip
            assert (refused.json().get("type") == "error") == (path == MESSAGES)


def test_a_function_is_a_tape() -> None:
    """It is asked with the messages as they came; None is its end, and what it raises is told."""

    def policy(messages: Messages) -> Reply | None:
        last = messages[-1]["content"]
        return {"end": None, "hello": Reply(text="hi")}[last]

    with ScriptedModel(policy) as model:
        assert ask(model, CHAT).json()["choices"][0]["message"]["content"] == "hi"
        for path in (CHAT, MESSAGES):
            for content, words in (("end", "the tape has ended"), ("?", "the tape failed: KeyError('?')")):
                refused = ask(model, path, {"role": "user", "content": content})
                assert (refused.status_code, refused.json()["error"]["message"]) == (400, words)


CALLED = {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}, {"id": "b"}]}
USED = {"role": "assistant", "content": [{"type": "tool_use", "id": "a"}, {"type": "tool_use", "id": "b"}]}
GIVEN = [{"role": "tool", "tool_call_id": id, "content": f"of {id}"} for id in "ab"]
PARTS = [{"type": "text", "text": "of "}, {"type": "text", "text": "b"}]
BLOCKS = [
    {"type": "tool_result", "tool_use_id": "a", "content": "of a"},
    {"type": "tool_result", "tool_use_id": "b", "content": PARTS},
]


@pytest.mark.parametrize(
    ("path", "messages"),
    [
        (CHAT, [USER, CALLED, *GIVEN]),
        (CHAT, [USER, CALLED, *reversed(GIVEN), USER, CALLED, *GIVEN]),
        (MESSAGES, [USER, USED, {"role": "user", "content": BLOCKS}]),
    ],
)
def test_results_of_tools_are_taken(path: str, messages: list[dict[str, Any]]) -> None:
    """Each call's result is there; a function finds the texts in either form."""
    with ScriptedModel(lambda messages: Reply(text=" ".join(tool_results(messages)[-2:]))) as model:
        assert "of a of b" in ask(model, path, *messages).text


@pytest.mark.parametrize(
    ("path", "messages", "words"),
    [
        (CHAT, [USER, CALLED], "no tool result for the call a, b"),
        (CHAT, [USER, CALLED, GIVEN[0], USER], "no tool result for the call b"),
        (CHAT, [USER, CALLED, USER, *GIVEN], "no tool result for the call a, b"),
        (CHAT, [USER, GIVEN[0]], "a tool result for a, which is no call"),
        (CHAT, [USER, CALLED, *GIVEN, GIVEN[0]], "a tool result for a, which is no call"),
        (MESSAGES, [USER, USED, {"role": "user", "content": BLOCKS[:1]}], "no tool result for the call b"),
        (MESSAGES, [USER, {"role": "user", "content": BLOCKS}], "a tool result for a, b, which is no call"),
    ],
)
def test_calls_and_results_that_do_not_match_are_refused(path: str, messages: list[dict[str, Any]], words: str) -> None:
    """As the real APIs do, so that a harness which loses a result is found out; the tape stays where it is."""
    with ScriptedModel([Reply(text="hi")]) as model:
        refused = ask(model, path, *messages)
        assert (refused.status_code, refused.json()["error"]["message"]) == (400, f"messages: {words}")
        assert ask(model, path).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (CHAT, b"{", 400, "body: Input should be a valid dictionary"),
        (CHAT, b"", 400, "body: Input should be a valid dictionary"),
        (MESSAGES, b"[]", 400, "body: Input should be a valid dictionary"),
        (CHAT, b"{}", 400, "model: Field required"),
        (CHAT, b'{"model": "m", "messages": []}', 400, "messages: List should have at least 1 item"),
        (CHAT, b'{"model": "m", "messages": ["hi"]}', 400, "messages.0: Input should be a valid dictionary"),
        (MESSAGES, b'{"model": "m", "messages": [{"role": "user"}]}', 400, "max_tokens: Field required"),
        ("/v1/responses", b"{}", 404, "no such path: /v1/responses; there are /v1/chat/completions and /v1/messages"),
        ("/v1/messages/count_tokens", b"{}", 404, "no such path: /v1/messages/count_tokens"),
    ],
)
def test_bad_requests_are_refused(path: str, body: bytes, status: int, words: str) -> None:
    """The error has the form of the API whose path it is, says what was wrong, and is among the requests."""
    with ScriptedModel([Reply(text="hi")]) as model:
        refused = httpx.post(model.url + path, content=body)
        error = refused.json()["error"]
        assert (refused.status_code, words in error["message"]) == (status, True), error
        assert ("param" in error) == (not path.startswith(MESSAGES))
        assert [request["path"] for request in model.requests] == [path]
        assert httpx.get(f"{model.url}/v1/models").json()["error"]["message"].startswith("no such path: /v1/models")
        assert ask(model, CHAT).status_code == 200


def test_requests_are_kept() -> None:
    """Everything that came: the path with its query, the headers, the body."""
    with ScriptedModel([Reply(text="hi")]) as model:
        httpx.post(f"{model.url}{MESSAGES}?beta=true", content=b"no json", headers={"X-Api-Key": "k"})
        ask(model, CHAT, {"role": "user", "content": "the secret"})
    first, second = model.requests
    assert (first["path"], first["headers"]["x-api-key"], first["body"]) == (f"{MESSAGES}?beta=true", "k", "no json")
    assert second["body"]["messages"] == [{"role": "user", "content": "the secret"}]


def test_many_ask_at_once() -> None:
    """Each reply goes out once, and each request is kept."""
    tape = [Reply(text=str(i), calls=[LOOK]) for i in range(64)]
    with ScriptedModel(tape) as model, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(model, CHAT).json(), tape))
    messages = [answer["choices"][0]["message"] for answer in answers]
    assert sorted(int(message["content"]) for message in messages) == list(range(64))
    assert len({message["tool_calls"][0]["id"] for message in messages}) == 64
    assert len(model.requests) == 64


def test_it_is_gone_after_with() -> None:
    """Nobody answers at the address any more."""
    with ScriptedModel([Reply(text="hi")]) as model:
        assert ask(model, CHAT).status_code == 200
    with pytest.raises(httpx.ConnectError):
        ask(model, CHAT)


def test_the_program_serves_a_file(tmp_path: Path) -> None:
    """It prints its URL, then the requests without their headers."""
    tape = tmp_path / "tape.json"
    tape.write_text('[{"text": "hi", "calls": [{"name": "act", "arguments": {"action": 1}}, {"name": "observe"}]}]')
    process = subprocess.Popen([sys.executable, PROGRAM, tape], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        headers = {"Authorization": "Bearer key"}
        httpx.post(url + CHAT, json={"model": "m", "messages": [USER]}, headers=headers, timeout=20).raise_for_status()
        line = process.stdout.readline()
    finally:
        process.terminate()
        process.communicate()
    assert json.loads(line) == {"path": CHAT, "body": {"model": "m", "messages": [USER]}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "Input should be a valid array"),
        ('[{"txt": "hi"}]', "Extra inputs are not permitted"),
        ('[{"calls": [{"name": "act", "arguments": "{}"}]}]', "Input should be an object"),
    ],
)
def test_a_file_that_is_no_tape_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """The program says where it is wrong and ends with 2."""
    tape = tmp_path / "tape.json"
    tape.write_text(text)
    done = subprocess.run([sys.executable, PROGRAM, tape], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert f"{tape} is no tape" in done.stderr
    assert words in done.stderr
