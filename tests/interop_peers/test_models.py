"""Official SDKs of language models on the scripted one of the examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from examples.scripted_model import Call, Reply, ScriptedModel
from tests.interop_peers.test_clients import run

TAPE = [Reply(text="I act.", calls=[Call(name="act", arguments={"action": 1})]), Reply(text="done")] * 2


def test_official_sdks_ask_the_scripted_model(peer: Callable[..., Path]) -> None:
    """Both SDKs read calls, texts and refusals as of the real APIs, whole and streamed, and ask no more than once."""
    with ScriptedModel(TAPE) as first, ScriptedModel(TAPE) as second:
        seen = json.loads(run(peer("3.57.0", "openai"), "official_models.py", first.url, second.url))
    for api, model, end in (("openai", first, "stop"), ("anthropic", second, "end_turn")):
        conversation = ["I act.", "act", {"action": 1}, "done", end]
        refused = "the tape has ended: it has 4 replies"
        assert seen[api] == {"whole": conversation, "streamed": conversation, "refused": refused}
        assert len(model.requests) == 5
