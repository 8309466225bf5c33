"""How scenarios talk to a server."""

from __future__ import annotations

import threading

from conformance.probe import Probe
from conformance.recorder import Recorder, Timing
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
