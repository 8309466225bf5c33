"""The official MCP SDK keeps the sentences on MCP Streamable HTTP, and its client can use the healthy servers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conformance.broken.streamable import Streamable, Streaming
from conformance.broken.wire import serving
from conformance.runner import Result, collect, judge

HERE = Path(__file__).parent
PEER = HERE.parents[1] / ".venv/peers/openenv-0.10.0"
PYTHON = PEER / "bin/python"
SCENARIOS = ("mcp.streamable", "mcp.streamable.versions")
SENTENCES = {f"MCP-{number}" for number in range(44, 66)}
WITH_SESSIONS = {"MCP-47", "MCP-48", "MCP-49", "MCP-50"}
"""Sentences that apply where the server assigns session ids."""
BROKEN = {"MCP-59"}
"""What the SDK breaks: it answers an unknown method with -32602."""


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    if not (PEER / ".installed").exists():
        pytest.fail(f"the official MCP SDK is not installed in {PEER}: run make peers", pytrace=False)


@contextmanager
def sdk_server(*modes: str) -> Iterator[str]:
    """Run the SDK's server in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    process = subprocess.Popen([PYTHON, HERE / "mcp_sdk_server.py", str(port), *modes])
    try:
        _wait(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], port: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the SDK's server does not listen at {port}; exit code {process.returncode}", pytrace=False)


def _certified(url: str) -> dict[str, Result]:
    results = judge(collect(url, only=SCENARIOS), profile="mcp")
    return {it.requirement.id: it for it in results if it.requirement.id in SENTENCES}


def _ids(results: dict[str, Result], *outcomes: str) -> set[str]:
    return {id for id, it in results.items() if it.outcome in outcomes}


@pytest.mark.parametrize("modes", [(), ("json",)], ids=["streams", "json"])
def test_the_official_server_keeps_every_sentence(modes: tuple[str, ...]) -> None:
    """All of section 10.6 applies to the SDK's server, and it meets all but one SHOULD."""
    with sdk_server(*modes) as url:
        results = _certified(url)
    assert results.keys() == SENTENCES
    assert {id: it.message for id, it in results.items() if it.outcome != "pass" and id not in BROKEN} == {}
    assert _ids(results, "warn") == BROKEN


def test_a_server_without_session_ids_can_pass() -> None:
    """Where no session id is assigned, the sentences about one do not apply, and the others do."""
    with sdk_server("stateless") as url:
        results = _certified(url)
    assert _ids(results, "not_applicable") == WITH_SESSIONS
    assert _ids(results, "fail") == set()


@pytest.mark.parametrize("server", [Streamable, Streaming])
def test_the_official_client_can_use_the_healthy_servers(server: type[Streamable]) -> None:
    """Sessions, pages, calls, and failures, as JSON and as event streams."""
    with serving(server()) as running:
        command = [PYTHON, HERE / "mcp_sdk_client.py", f"{running.url}/mcp"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "NO_PROXY": "127.0.0.1"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "version": "2025-11-25",
        "session": True,
        "tools": ["add", "bump", "fail"],
        "texts": ["3", "1", "2"],
        "failed": True,
    }
