"""`interop mcp`."""

from __future__ import annotations

import json

import pytest

import interop
from conformance.broken.healthy import Healthy
from conformance.broken.streamable import Streaming
from conformance.broken.wire import serving
from interop.cli import main


def test_the_lines_for_agents(capsys: pytest.CaptureFixture[str]) -> None:
    """The tools are listed, each agent has its lines, and the session that tried it is gone."""
    with interop.serve("gym:CartPole-v1", port=0) as server:
        assert main(["mcp", server.url]) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"CartPole-v1 at {server.url}/mcp offers act, observe;")
        assert f"\n  claude mcp add --transport http cartpole-v1 {server.url}/mcp\n" in text
        assert f'[mcp_servers.cartpole-v1]\n  url = "{server.url}/mcp"' in text
        assert main(["mcp", server.url, "--name", "pole", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["name"], document["tools"]) == ("pole", ["act", "observe"])


def test_a_token_is_named_and_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The lines name the variable that holds the token; without it the command says what is missing."""
    with interop.serve("gym:CartPole-v1", port=0, token="secret") as server:
        assert main(["mcp", server.url, "--token", "secret"]) == 0
        text = capsys.readouterr().out
        assert "secret" not in text
        assert text.count("INTEROP_TOKEN") == 5
        assert main(["mcp", server.url]) == 2
        assert "needs a token" in capsys.readouterr().err


def test_servers_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that answers with events will do; one that does not speak MCP is a finding."""
    with serving(Streaming()) as running:
        assert main(["mcp", running.url]) == 0
        assert "offers add," in capsys.readouterr().out
    with serving(Healthy()) as running:
        assert main(["mcp", running.url]) == 1
        assert "does not speak MCP Streamable HTTP: initialize is answered 200" in capsys.readouterr().err
    assert main(["mcp", "http://127.0.0.1:1"]) == 2
