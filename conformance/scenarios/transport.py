"""Section 3 of the specification: handshakes, messages, keepalive and closing."""

from __future__ import annotations

import uuid

from conformance.probe import Probe
from conformance.scenarios import scenario

MIB = 1024 * 1024
STATE = {"type": "state"}


@scenario("transport.handshake")
def handshake(probe: Probe) -> None:
    """Handshakes that must be accepted, and paths without a WebSocket."""
    with probe.session("transport.handshake", headers={"Connection": "keep-alive, Upgrade"}) as session:
        session.ask(STATE, "state")
    with probe.session("transport.subprotocols", subprotocols=("no.such.protocol", "nor.this")) as session:
        session.ask(STATE, "state")
    with probe.session("transport.deflate", deflate=True) as session:
        session.ask(STATE, "state")
    with probe.session("transport.empty_id", "/ws?session_id=") as session:
        session.ask(STATE, "state")
    for name, path in (("transport.nowhere", "/no-such-socket"), ("transport.slash", "/ws/no-such-socket")):
        probe.connect(name, path).abort()
    with probe.connect("transport.unknown_id", f"/ws?session_id={uuid.uuid4()}") as session:
        if session.receive(probe.timing.settle) is not None:
            session.until_end()


@scenario("transport.messages")
def messages(probe: Probe) -> None:
    """A silent start, fragments, pings, and the end."""
    with probe.session("transport.messages") as session:
        session.quiet()
        session.ask(probe.reset(), "reset")
        session.finish()
    with probe.session("transport.fragments") as session:
        session.ask(STATE, "fragments", fragments=5)
    with probe.session("transport.ping") as session:
        session.ask(STATE, "state")
        session.ping(b"are you there", "ping")
        session.quiet()


@scenario("transport.sizes")
def sizes(probe: Probe) -> None:
    """Messages of 1, 15 and 17 MiB: JSON with a gap in the middle."""
    for mib in (1, 15, 17):
        with probe.session(f"transport.{mib}mib") as session:
            session.ask(STATE, "state")
            session.ask('{"type":"state"' + " " * (mib * MIB - 16) + "}", "big")


@scenario("transport.slow", alone=True)
def slow(probe: Probe) -> None:
    """A ping while a step runs."""
    if probe.inputs.slow is None:
        return
    with probe.session("transport.slow") as session:
        session.ask(probe.reset(), "reset")
        session.send({"type": "step", "data": probe.inputs.slow}, "slow")
        session.ping(b"while it runs", "ping")
        session.receive()
