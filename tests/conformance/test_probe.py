"""How scenarios talk to a server."""

from __future__ import annotations

import threading

from conformance.probe import Probe
from conformance.recorder import Recorder, Timing
from conformance.scenarios.mcp_streamable import Client
from interop import serve


def test_a_full_server_is_waited_for_before_its_silence_counts() -> None:
    """A refusal for want of a place is no answer to a scenario that begins with silence."""
    with serve("gym:CartPole-v1", port=0, max_sessions=1) as server:
        probe = Probe(Recorder(server.url, timing=Timing(quiet=0.1)))
        with probe.session("holds.the.place") as holder:
            holder.ask({"type": "state"}, "state")
            leaving = threading.Timer(0.4, holder.finish)
            leaving.start()
            with probe.session("waits") as session:
                session.quiet()
                assert session.ask({"type": "state"}, "state")["type"] == "state"
            leaving.join()
    assert "waits~1" in probe.recorder.evidence.conversations
    assert [event.kind for event in session.socket.events[:2]] == ["silence", "send"]


def test_a_full_server_is_waited_for_before_mcp_sessions_count() -> None:
    """A refusal of `initialize` for want of a place is not judged as the answer to it."""
    with serve("gym:CartPole-v1", port=0, max_sessions=1) as server:
        probe = Probe(Recorder(server.url, timing=Timing()))
        with probe.session("holds.the.place") as holder:
            holder.ask({"type": "state"}, "state")
            leaving = threading.Timer(0.4, holder.finish)
            leaving.start()
            client = Client(probe, "mcp.http.version.1", "2025-06-18")
            leaving.join()
        client.delete("mcp.http.version.1.delete")
    assert client.result["protocolVersion"] == "2025-06-18"
    conversations = probe.recorder.evidence.conversations
    assert [name for name in conversations if name.startswith("mcp.")] == [
        "mcp.http.version.1",
        "mcp.http.version.1.delete",
    ]
    assert "full.mcp.http.version.1~1" in conversations
