"""The public MCP conformance runner on our server: the scenarios of what we offer pass, the others are refused.

Scenarios that want tools which answer with sounds or resources, or that ask the client, are left out.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import interop
from interop.environment import StepResult
from tests.environments import Misbehaving, source
from tests.interop_peers.conftest import ROOT

RUNNER = ROOT / ".venv/peers/mcp-conformance"
CARTPOLE = {
    "server-initialize": {"server-initialize": "SUCCESS"},
    "ping": {"ping": "SUCCESS"},
    "tools-list": {"tools-list": "SUCCESS"},
    "server-sse-multiple-streams": {
        "server-accepts-multiple-post-streams": "SUCCESS",
        "server-sse-streams-functional": "INFO",  # the answers are JSON
    },
    "dns-rebinding-protection": {
        "localhost-host-rebinding-rejected": "SUCCESS",
        "localhost-host-valid-accepted": "SUCCESS",
    },
}
"""The checks of scenarios that any server with tools can pass."""
TOOLS = {
    "tools-call-simple-text": {"tools-call-simple-text": "SUCCESS"},
    "tools-call-error": {"tools-call-error": "SUCCESS"},
    "json-schema-2020-12": {
        "json-schema-2020-12-tool-found": "SUCCESS",
        "json-schema-2020-12-$schema": "SUCCESS",
        "json-schema-2020-12-$defs": "SUCCESS",
        "json-schema-2020-12-additionalProperties": "SUCCESS",
    },
}
"""Those of scenarios that want the tools of `Tools`."""
NOT_OFFERED = {
    "logging-set-level": "logging/setLevel",
    "completion-complete": "completion/complete",
    "resources-list": "resources/list",
    "resources-read-text": "resources/read",
    "resources-read-binary": "resources/read",
    "resources-templates-read": "resources/read",
    "resources-subscribe": "resources/subscribe",
    "resources-unsubscribe": "resources/subscribe",
    "prompts-list": "prompts/list",
    "prompts-get-simple": "prompts/get",
    "prompts-get-with-args": "prompts/get",
    "prompts-get-embedded-resource": "prompts/get",
    "prompts-get-with-image": "prompts/get",
}
"""The method at which scenarios of other features end."""
CALL = {"type": "object", "properties": {"type": {"const": "call_tool"}, "tool_name": {"type": "string"}}}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "additionalProperties": False,
}


class Tools(Misbehaving):
    """Has the tools that the scenarios of `TOOLS` call."""

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        if action["type"] == "list_tools":
            names = ("test_simple_text", "test_error_handling", "json_schema_2020_12_tool")
            schemas = ({"type": "object"}, {"type": "object"}, SCHEMA)
            return StepResult(
                {"tools": [{"name": name, "input_schema": it} for name, it in zip(names, schemas, strict=True)]}
            )
        if action["tool_name"] == "test_simple_text":
            return StepResult({"result": "This is a simple text response for testing."})
        raise RuntimeError("This tool intentionally returns an error for testing")


def checks(out: Path, url: str, *options: str) -> dict[str, list[dict[str, Any]]]:
    """The checks of each scenario that the runner runs on a server."""
    program = RUNNER / "node_modules/.bin/conformance"
    if not (RUNNER / ".installed").exists():
        pytest.fail(f"the conformance runner is not installed in {RUNNER}: run make peers", pytrace=False)
    # It ends with an error when a scenario fails, which some are to do.
    command = [program, "server", "--url", f"{url}/mcp", "--output-dir", out, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    found = {}
    for file in out.glob("*/checks.json"):
        scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT.*$", "", file.parent.name)  # and not the time
        found[scenario] = json.loads(file.read_text())
    assert found, done.stdout + done.stderr
    return found


def statuses(found: list[dict[str, Any]]) -> dict[str, str]:
    """What became of each check."""
    return {check["id"]: check["status"] for check in found}


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """All scenarios on a server of CartPole."""
    with interop.serve("gym:CartPole-v1") as server:
        return checks(tmp_path_factory.mktemp("cartpole"), server.url, "--suite", "all")


@pytest.mark.parametrize("scenario", CARTPOLE)
def test_what_is_offered_conforms(cartpole: dict[str, list[dict[str, Any]]], scenario: str) -> None:
    """A server of an environment without tools of its own passes."""
    assert statuses(cartpole[scenario]) == CARTPOLE[scenario]


@pytest.mark.parametrize("scenario", NOT_OFFERED)
def test_what_is_not_offered_is_refused(cartpole: dict[str, list[dict[str, Any]]], scenario: str) -> None:
    """A method of another feature is told to be unknown, and nothing else goes wrong."""
    (check,) = cartpole[scenario]
    assert check["errorMessage"] == f"Failed: MCP error -32601: Method not found: {NOT_OFFERED[scenario]}"


@pytest.mark.parametrize("scenario", TOOLS)
def test_tools_of_an_environment_conform(tmp_path: Path, scenario: str) -> None:
    """The tools of an environment are listed with their whole schemas, and answer with a text or an error."""
    with interop.serve(source(Tools, action=CALL)) as server:
        found = checks(tmp_path, server.url, "--scenario", scenario)[scenario]
    assert statuses(found) == TOOLS[scenario]
    results = [check["details"]["result"]["content"][0]["text"] for check in found if "result" in check["details"]]
    assert all("for testing" in text for text in results)
