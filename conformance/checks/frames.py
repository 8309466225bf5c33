"""Section 4.1 of the specification, and what section 2 asks of servers: frames from client to server."""

from __future__ import annotations

from typing import Any

from conformance.actions import fits
from conformance.checks import check
from conformance.evidence import Socket
from conformance.recorder import parsed
from conformance.view import Broken, Missing, View, expect, short


@check("REV-5")
def every_frame(view: View) -> str | None:
    for label in ("state", "reset", "step"):
        reply = view.ask("frames.kinds", label)
        expect(reply.code != "UNKNOWN_TYPE", f"a {label} frame is not known: {short(reply.raw)}")
    if _knows_mcp(view):
        return None
    exchange = view.exchange("frames.post_mcp")
    expect(exchange.status == 404, "mcp frames are not known, though POST /mcp, which came a revision later, is served")
    return "mcp frames and POST /mcp are not known: revision P1"


@check("FRM-2")
def reset_without_data(view: View) -> None:
    empty = view.ask("frames.resets", "reset with {}")
    bare = view.ask("frames.resets", "reset without data after a step")
    expect(
        (bare.type, bare.code) == (empty.type, empty.code),
        f"a reset without data is answered {short(bare.raw)}, one with {{}} {short(empty.raw)}",
    )
    if bare.type == "observation":
        state = view.ask("frames.resets", "state after it").data
        expect(state.get("step_count", 0) == 0, f"a reset without data did not reset: the state is {short(state)}")


@check("FRM-3")
def data_is_an_object(view: View) -> None:
    # A server that knows no mcp frames at all answers UNKNOWN_TYPE to them, which is judged elsewhere.
    kinds = ("reset", "step", "mcp")[: 3 if _knows_mcp(view) else 2]
    labels = [f"{kind} whose data is {wrong}" for kind in kinds for wrong in ("null", "an array", "a string")]
    _refused(view, "frames.data", *labels)


@check("FRM-4")
def step_without_data(view: View) -> None:
    _refused(view, "frames.no_data", "step without data")


@check("FRM-5")
def whole_action(view: View) -> str | None:
    view.ask("frames.actions", "step").expect_type("observation")
    schema, notes = view.schema.get("action", {}), []
    for label in ("step with a wrapped action", "step with timeout_s in the action"):
        if fits(schema, _sent(view.socket("frames.actions"), label).get("data")):
            notes.append(f"a {label} fits the action schema")
            continue
        reply = view.ask("frames.actions", label)
        expect(reply.type == "error", f"a {label}, which does not fit the action schema, is taken: {short(reply.raw)}")
    return "; ".join(notes) or None


@check("FRM-7")
def additional_keys(view: View) -> None:
    mcp = ("mcp with id",) if _knows_mcp(view) else ()
    _refused(view, "frames.extra", "state with id", "reset with seed", "step with timeout_s", *mcp)
    _refused(view, "frames.close_extra", "close with reason")


@check("FRM-8")
def state_with_data(view: View) -> None:
    _refused(view, "frames.state_data", *(f"state with data {it}" for it in ("{}", "null", '{"episode_id": "e-1"}')))


@check("FRM-9")
def refused_close(view: View) -> None:
    for label in ("reason", "data"):
        view.ask("frames.close_extra", f"close with {label}")
        view.ask("frames.close_extra", f"state after close with {label}").expect_type("state")


@check("FRM-10")
def case_of_types(view: View) -> None:
    for _, reply in view.asked("frames.case", "State", "RESET", "Mcp", "CLOSE", "Step"):
        reply.expect_code("UNKNOWN_TYPE")


@check("FRM-11")
def unknown_arguments(view: View) -> None:
    for label in ("unknown", "reserved"):
        view.ask("frames.arguments", label)
        view.ask("frames.arguments", f"state after {label}").expect_type("state")


@check("FRM-12")
def dropped_arguments(view: View) -> str:
    reply = view.ask("frames.arguments", "unknown")
    return f"refused: {short(reply.raw)}" if reply.type == "error" else "taken or dropped"


@check("FRM-13")
def mcp_without_data(view: View) -> None:
    _refused(view, "frames.no_data", "mcp without data")


def _knows_mcp(view: View) -> bool:
    return bool(view.ask("frames.kinds", "mcp").code != "UNKNOWN_TYPE")


def _refused(view: View, name: str, *labels: str) -> None:
    for label, reply in view.asked(name, *labels):
        expect(reply.code == "VALIDATION_ERROR", f"a {label} is answered {short(reply.raw)}, not VALIDATION_ERROR")


def _sent(socket: Socket, label: str) -> dict[str, Any]:
    """A frame of ours. Raises `Missing`."""
    index = socket.find(label)
    if index is None:
        raise Missing(f"`{label}` could not be sent")
    frame = parsed(socket.events[index].payload)
    if not isinstance(frame, dict):
        raise Broken(f"`{label}` is no frame")
    return frame
