"""An environment is told when nobody waits any more for what it does, and is closed as soon as it has ended that."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

import interop
from interop.environment import StepResult
from interop.server.supervisor import BUSY
from tests.environments import Misbehaving, source
from tests.server.test_faults import eventually, ws


class Patient(Misbehaving):
    """Waits in `step` until it is interrupted, a minute at most."""

    made: list[Patient]

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = threading.Event()
        self.stepping = threading.Event()
        type(self).made.append(self)

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        if action:
            self.stepping.set()
            if self.interrupted.wait(60):
                raise RuntimeError("interrupted")
        return super().step({})

    def interrupt(self) -> None:
        self.interrupted.set()


@pytest.fixture(autouse=True)
def _none_made() -> None:
    Patient.made = []


WAIT = '{"type":"step","data":{"wait":true}}'


def test_a_client_that_goes_interrupts_its_step() -> None:
    """Its place is free long before the step would have ended; a client that waits interrupts nothing."""
    with interop.serve(source(Patient)) as server, interop.connect(server.url) as other:
        other.send("step", {"wait": True})
        with ws(server) as connection:
            connection.send(WAIT)
            assert eventually(lambda: len(Patient.made) == 2 and Patient.made[1].stepping.is_set())
            connection.socket.shutdown(socket.SHUT_RDWR)
        assert eventually(lambda: Patient.made[1].closed == 1)
        assert not Patient.made[0].interrupted.wait(2 * BUSY)
        assert server.active_sessions == 1
        Patient.made[0].interrupted.set()
        with pytest.raises(interop.ExecutionError, match="interrupted"):
            other.receive()


def test_a_client_that_goes_between_steps_interrupts_nothing() -> None:
    """There is nothing to end."""
    with interop.serve(source(Patient)) as server:
        with interop.connect(server.url) as session:
            session.step({})
        assert eventually(lambda: Patient.made[0].closed == 1)
        assert not Patient.made[0].interrupted.is_set()


def test_a_step_whose_time_is_up_is_interrupted() -> None:
    """The client is told that its time is up, and the environment is closed."""
    with interop.serve(source(Patient), step_timeout=0.3) as server:
        session = interop.connect(server.url)
        with pytest.raises(interop.SessionLost, match="step_timeout"):
            session.step({"wait": True})
        assert eventually(lambda: Patient.made[0].closed == 1)


def test_a_server_that_stops_interrupts_steps() -> None:
    """Whatever door they came in by."""
    with interop.serve(source(Patient)) as server, ws(server) as connection:
        connection.send(WAIT)
        made = httpx.post(f"{server.url}/sessions", json={}).json()
        with pytest.raises(httpx.HTTPError):
            call(made["mcp_url"], made["token"], timeout=0.5)
        assert eventually(lambda: sum(it.stepping.is_set() for it in Patient.made) == 2)
        server.stop()
        assert eventually(lambda: [it.closed for it in Patient.made] == [1, 1])


def test_a_call_whose_time_is_up_is_interrupted() -> None:
    """The session of an agent ends as others do."""
    with interop.serve(source(Patient), step_timeout=0.5) as server:
        made = httpx.post(f"{server.url}/sessions", json={}).json()
        assert "step_timeout" in call(made["mcp_url"], made["token"], timeout=30)
        assert eventually(lambda: Patient.made[0].closed == 1)


def call(url: str, token: str, *, timeout: float) -> str:
    """The text of the response to a call of `act` that waits."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    opened = httpx.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}, headers=headers)
    headers["Mcp-Session-Id"] = opened.headers["Mcp-Session-Id"]
    params = {"name": "act", "arguments": {"wait": True}}
    message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    return httpx.post(url, json=message, headers=headers, timeout=timeout).text
