"""The examples run as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import interop
from examples.scripted_model import Call, Messages, Reply, ScriptedModel, tool_results

HERE = Path(__file__).parent.parent / "examples"
# The model is a server, which runs until it is ended: tests/test_scripted_model.py does that.
EXAMPLES = sorted(set(HERE.glob("*.py")) - {HERE / "scripted_model.py"})


def run(example: Path, *arguments: str, **variables: str) -> str:
    """What an example prints, which ends well and complains of nothing."""
    command = [sys.executable, str(example), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=110, check=False, env={**os.environ, **variables}
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path) -> None:
    """An example ends well and complains of nothing."""
    assert run(example)


def right(messages: Messages) -> Reply:
    """Pushes the cart to the right, first by a call that fails, then two calls a turn."""
    if not tool_results(messages):
        return Reply(calls=[Call(name="act", arguments={"action": 9})])
    return Reply(text="Right.", calls=[Call(name="act", arguments={"action": 1})] * 2)


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_the_agent_tells_its_model_nothing_private(api: str) -> None:
    """The model gets the tools, the observations and its key; rewards, handles and the seed stay with their owner."""
    key = {"OPENAI_API_KEY": "the-key", "ANTHROPIC_API_KEY": "the-key"}
    with interop.serve("gym:CartPole-v1") as server, ScriptedModel(right) as model:
        url = model.url + ("/v1" if api == "openai" else "")
        options = ["--api", api, "--model", "m", "--model-url", url, "--seed", "7654321"]
        printed = run(HERE / "agent_over_mcp.py", server.url, *options, **key)
        assert server.active_sessions == 0
    steps = int(printed.split()[0])
    assert printed == f"{steps} steps, return {float(steps)}, over"
    assert 5 < steps < 15
    first, *_, last = model.requests
    assert "the-key" in (first["headers"].get("x-api-key"), first["headers"].get("authorization", "")[7:])
    assert [tool.get("name") or tool["function"]["name"] for tool in first["body"]["tools"]] == ["act", "observe"]
    assert "Barto" in first["body"]["messages"][0]["content"]
    failed, *seen = tool_results(last["body"]["messages"])
    assert "9" in failed
    assert [set(json.loads(text)) for text in seen] == [{"obs", "terminated", "truncated", "info"}] * len(seen)
    sent = json.dumps(model.requests).lower()
    for private in ("reward", '\\"done', "7654321", "/sessions", "/mcp", "session_id", server.url):
        assert private not in sent
    assert not re.search(r"[\w-]{43}", sent)  # as long as a token of a session


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_an_agent_whose_model_stops_leaves_an_episode_that_is_not_over(api: str) -> None:
    """A model that calls no tool ends the loop; a refusal of the model's is told in its words."""
    act = Reply(calls=[Call(name="act", arguments={"action": 1})])
    options = ["--api", api, "--model", "m", "--model-url"]
    with ScriptedModel([act, Reply(text="I am done.")]) as model:
        url = model.url + ("/v1" if api == "openai" else "")
        assert run(HERE / "agent_over_mcp.py", *options, url) == "1 steps, return 1.0, not over"
        command = [sys.executable, str(HERE / "agent_over_mcp.py"), *options, url]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
        assert refused.returncode == 1
        assert "400" in refused.stderr
        assert "the tape has ended: it has 2 replies" in refused.stderr
