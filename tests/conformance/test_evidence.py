"""Evidence is kept whole, and judged the same whether it is fresh or read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.broken import COUNTER, healthy, healthy_evidence, load
from conformance.evidence import (
    Event,
    Evidence,
    EvidenceError,
    Exchange,
    Socket,
    conversation_from_json,
    conversation_to_json,
)
from conformance.runner import judge

headers = st.lists(st.tuples(st.text(min_size=1), st.text()))
events = st.builds(
    Event,
    at=st.floats(0, 100),
    kind=st.sampled_from(["send", "receive", "close", "eof", "silence", "timeout", "violation"]),
    opcode=st.sampled_from(["", "text", "binary", "ping", "pong"]),
    payload=st.binary(),
    label=st.text(),
    size=st.integers(0),
    frames=st.integers(1, 9),
    code=st.none() | st.integers(1000, 4999),
    text=st.text(),
    seconds=st.floats(0, 100),
)
sockets = st.builds(
    Socket,
    name=st.text(min_size=1),
    path=st.text(),
    at=st.floats(0, 100),
    request=headers,
    status=st.sampled_from([0, 101, 403]),
    response=headers,
    body=st.binary(),
    error=st.text(),
    events=st.lists(events, max_size=4),
)
exchanges = st.builds(
    Exchange,
    name=st.text(min_size=1),
    method=st.sampled_from(["GET", "POST"]),
    path=st.text(),
    at=st.floats(0, 100),
    seconds=st.floats(0, 9),
    request=headers,
    sent=st.binary(),
    status=st.sampled_from([0, 200, 500]),
    response=headers,
    body=st.binary(),
    error=st.text(),
)


@given(sockets | exchanges)
def test_a_conversation_survives_json(conversation: Socket | Exchange) -> None:
    """Bytes, times and codes come back from JSON as they were."""
    text = json.dumps(conversation_to_json(conversation), ensure_ascii=True)
    assert conversation_from_json(json.loads(text)) == conversation


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "healthy" else pytest.mark.slow) for name in healthy()]
)
def test_evidence_is_judged_again_as_before(name: str, tmp_path: Path) -> None:
    """What a directory holds gives the results of the run."""
    evidence = healthy_evidence(name)
    evidence.write(tmp_path)
    again = Evidence.read(tmp_path)
    assert again.conversations == evidence.conversations
    assert judge(again) == judge(evidence)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("run.json", "{", "no evidence that can be read"),
        ("run.json", '{"format":"openenv-evidence/9"}', "accepted is 'openenv-evidence/1'"),
        ("other.json", "{}", "FileNotFoundError"),
    ],
)
def test_what_is_no_evidence_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    """A directory without evidence, or with that of another format, is an error that says so."""
    (tmp_path / name).write_text(text)
    with pytest.raises(EvidenceError, match=words):
        Evidence.read(tmp_path)


payloads = st.sampled_from(
    [b"", b"null", b"[]", b"{}", b"3", b'"x"', b"\xff", b'{"type":"observation"}', b'{"type":"error","data":{}}',
     b'{"type":"observation","data":{"observation":[],"reward":"x","done":0}}', b'{"type":7,"data":7}',
     b'{"type":"state","data":{"step_count":"x","episode_id":[]}}', b'{"type":"mcp","data":{"result":1,"error":1}}',
     b'{"jsonrpc":"2.0","id":[],"error":{}}', b'{"type":"error","data":{"code":{},"errors":[1,{"loc":3}]}}',
     b'[' * 5_000]
)  # fmt: skip


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.data())
def test_no_check_stumbles_over_what_a_server_sends(data: st.DataObject) -> None:
    """Whatever came back instead of the replies, each requirement gets a verdict."""
    good = healthy_evidence(data.draw(st.sampled_from(list(healthy()))))
    documents = [conversation_to_json(it) for it in good.conversations.values()]
    copies = {it["name"]: conversation_from_json(it) for it in documents}
    for conversation in copies.values():
        if isinstance(conversation, Exchange):
            conversation.body = data.draw(payloads)
            continue
        for event in conversation.events:
            if event.kind == "receive" and data.draw(st.booleans()):
                event.payload = data.draw(payloads)
                event.size = len(event.payload)
    assert judge(Evidence(good.url, good.facts, copies))


def test_the_counter_is_described() -> None:
    """The table of defects is there, and what is given about the counter is what it takes."""
    assert load()
    assert COUNTER.document()["raises"] == {"by": 1, "op": "raise"}
