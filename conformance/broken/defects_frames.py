"""Defects of section 4: frames in both directions."""

from __future__ import annotations

import json
from collections.abc import Callable
from queue import Empty
from typing import Any

from conformance.broken import answers, defect, reads, reply
from conformance.broken.healthy import Ending, Frame, Healthy, Observation, Rejected, Session, entry, error
from conformance.broken.wire import Channel, Gone

STATE = {"type": "state"}
BARE = {"type": "reset"}
NO_REQUEST = {"type": "mcp", "data": {"hello": "you"}}
NO_METHOD = entry("missing", ["data", "method"], "Field required", NO_REQUEST["data"])


class Loose(Observation):
    """An observation whose schema says little, so that only frames are wrong."""

    done: Any = False
    reward: Any = None
    metadata: Any = None


def _after(first: Callable[[Frame], bool], answer: Callable[[Frame, Frame], Frame | None]) -> Any:
    """A method `dispatch` with other answers to a frame that comes right after some frame."""

    def dispatch(self: Healthy, session: Session, frame: Frame) -> Frame | None:
        reply = Healthy.dispatch(self, session, frame)
        came_after = session.id in self.said
        self.said[:] = [it for it in self.said if it != session.id] + ([session.id] if first(frame) else [])
        return answer(frame, reply or {}) or reply if came_after else reply

    return dispatch


def _is_mcp(frame: Frame) -> bool:
    return frame.get("type") == "mcp"


def _mcp_marks(self: Healthy, session: Session, frame: Frame) -> Frame:
    found = Healthy.on_mcp(self, session, frame)
    if frame["data"].get("method") == "tools/list" and session.env.state["episode_id"] is None:
        self.said.append(session.id)
    return found


def _no_steps_if_marked(self: Healthy, session: Session, frame: Frame) -> Frame:
    if session.id in self.said:
        raise Rejected(error("UNKNOWN_TYPE", "Unknown message type: step"))
    return Healthy.on_step(self, session, frame)


def _bare_reset_keeps_the_episode(self: Healthy, session: Session, frame: Frame) -> Frame:
    if frame == BARE:
        return self.observe(lambda: session.env.result(None, False))
    return Healthy.on_reset(self, session, frame)


def _unwrap(frame: Frame) -> Frame | None:
    data = frame.get("data")
    inner = data.get("action") if isinstance(data, dict) and frame.get("type") == "step" else None
    return {**frame, "data": inner} if isinstance(inner, dict) else None


def _take_timeout(frame: Frame) -> Frame | None:
    data = frame.get("data")
    if isinstance(data, dict) and frame.get("type") == "step" and "timeout_s" in data:
        return {**frame, "data": {key: value for key, value in data.items() if key != "timeout_s"}}
    return None


def _decode_twice(frame: Frame) -> Frame | None:
    data = frame.get("data")
    return {**frame, "data": json.loads(data)} if isinstance(data, str) else None


def _only(kind: str, key: str) -> Callable[[Frame], Frame | None]:
    """Drop a key of frames of a type."""

    def change(frame: Frame) -> Frame | None:
        if frame.get("type") == kind and key in frame:
            return {name: value for name, value in frame.items() if name != key}
        return None

    return change


def _close_after_refusal(self: Healthy, channel: Channel, session: Any, request: Any, reply: Frame) -> None:
    Healthy.say(self, channel, session, request, reply)
    if isinstance(request, dict) and request.get("type") == "close":
        channel.close(1000)
        raise Gone


def _lower_case(frame: Frame) -> Frame | None:
    return {**frame, "type": frame["type"].lower()} if isinstance(frame.get("type"), str) else None


def _end_at_unknown_argument(self: Healthy, session: Session, frame: Frame) -> Frame:
    data = frame.get("data")
    if isinstance(data, dict) and "no_such_argument" in data:
        raise Ending(error("SESSION_ERROR", "reset() got an unexpected keyword argument"))
    return Healthy.on_reset(self, session, frame)


def _repeat_mcp_when_idle(self: Healthy, channel: Channel, session: Session) -> tuple[bytes, bool]:
    """Say the last answer again if it was an mcp frame and the client is silent for a moment."""
    if not self.said or not _is_mcp(json.loads(self.said[-1])):
        return channel.receive()
    try:
        message = channel.messages.get(timeout=0.03)
    except Empty:
        channel.send(self.said.pop())
        message = channel.messages.get()
    if message is None:
        raise Gone
    return message


def _remember(self: Healthy, session: Any, request: Any, text: str) -> str:
    self.said.append(text)
    return text


def _say_goodbye(self: Healthy, channel: Channel, after: Frame | None) -> None:
    if after is None:
        channel.send('{"type":"close","data":{}}')
    channel.close(1000)


def _data(change: Callable[[Frame], Frame | None]) -> Any:
    """A method `alter_reply` that changes the data of every observation reply."""

    def alter(request: Any, frame: Frame) -> Frame | None:
        changed = change(frame["data"]) if frame["type"] == "observation" else None
        return None if changed is None else {**frame, "data": changed}

    return reply(alter)


def _observation(change: Callable[[Frame], Any]) -> Any:
    """As `_data`, of `observation` alone."""
    return _data(lambda data: {**data, "observation": change(data["observation"])})


def _of_bare(change: Callable[[Frame], Frame]) -> Any:
    """A method `alter_reply` that changes the reply to a reset without data."""
    return reply(lambda request, frame: change(frame) if request == BARE else None)


def _without(data: Frame, key: str) -> Frame:
    return {name: value for name, value in data.items() if name != key}


defect("no steps in a session that began with its tools", "REV-5", on_mcp=_mcp_marks, on_step=_no_steps_if_marked)
defect(
    "a reset needs data", "FRM-2",
    dispatch=answers(lambda frame: error("EXECUTION_ERROR", "no data") if frame == BARE else None),
)  # fmt: skip
defect("a reset without data does not reset", "FRM-2", on_reset=_bare_reset_keeps_the_episode)
defect(
    "null is no data", "FRM-3",
    dispatch=reads(lambda frame: _only("reset", "data")(frame) if frame.get("data", 0) is None else None),
)  # fmt: skip
defect("data may be JSON in a string", "FRM-3", dispatch=reads(_decode_twice))
defect(
    "a step without data is an execution error", "FRM-4",
    dispatch=answers(lambda frame: error("EXECUTION_ERROR", "'data'") if frame == {"type": "step"} else None),
)  # fmt: skip
defect("unwraps actions", "FRM-5", dispatch=reads(_unwrap))
defect("takes timeout_s out of an action", "FRM-5", dispatch=reads(_take_timeout))
defect("ignores timeout_s beside an action", "FRM-7", dispatch=reads(_only("step", "timeout_s")))
defect("a request may have an id", "FRM-7", dispatch=reads(_only("state", "id")))
defect(
    "a state frame may have empty data", "FRM-8",
    dispatch=reads(lambda frame: STATE if frame == {**STATE, "data": {}} else None),
)  # fmt: skip
defect("closes when it refuses a close", "FRM-9", say=_close_after_refusal)
defect("types in any case", "FRM-10", dispatch=reads(_lower_case))
defect("an unknown argument ends the session", "FRM-11", on_reset=_end_at_unknown_argument)
defect(
    "an mcp frame without data is a JSON-RPC error", "FRM-13",
    dispatch=reads(lambda frame: {**frame, "data": {}} if frame == {"type": "mcp"} else None),
)  # fmt: skip
# A reply too many is taken for the next one wherever the client is slow.
defect(
    "repeats itself after an mcp frame", "FRM-14", without="ws",
    listen=_repeat_mcp_when_idle, alter_text=_remember,
)  # fmt: skip
defect("says goodbye", "FRM-15", shut=_say_goodbye)
defect("a reset without data is answered as reset", "FRM-2", "FRM-16", alter_reply=_of_bare(lambda it: {**it, **BARE}))
defect(
    "a state after a bare reset is answered as step", "FRM-17",
    dispatch=_after(lambda it: it == BARE, lambda frame, reply: {**reply, "type": "step"} if frame == STATE else None),
)  # fmt: skip
defect(
    "no request in an mcp frame is an error frame", "FRM-18",
    dispatch=answers(
        lambda frame: error("VALIDATION_ERROR", "Invalid message", errors=[NO_METHOD]) if frame == NO_REQUEST else None
    ),
)  # fmt: skip
defect("numbers the replies to resets", "FRM-19", alter_reply=_of_bare(lambda frame: {**frame, "seq": 1}))
defect(
    "a JSON-RPC error is in a list", "FRM-20",
    alter_reply=reply(lambda request, frame: {**frame, "data": [frame["data"]]} if request == NO_REQUEST else None),
)  # fmt: skip
defect("more data in an observation", "FRM-21", alter_reply=_data(lambda data: {**data, "info": {}}))
defect("no reward after a reset", "FRM-21", alter_reply=_data(
    lambda data: _without(data, "reward") if data["reward"] is None else None
))  # fmt: skip
defect("observations are lists", "FRM-22", "SEM-17", observation_model=Loose, alter_reply=_of_bare(
    lambda frame: {**frame, "data": {**frame["data"], "observation": [frame["data"]["observation"]]}}
))  # fmt: skip
defect("the reward is a string", "FRM-23", observation_model=Loose, alter_reply=_of_bare(
    lambda frame: {**frame, "data": {**frame["data"], "reward": "0.0"}}
))  # fmt: skip
defect("done is a number", "FRM-24", observation_model=Loose, alter_reply=_of_bare(
    lambda frame: {**frame, "data": {**frame["data"], "done": 0}}
))  # fmt: skip
defect("done is null", "FRM-24", observation_model=Loose, alter_reply=_of_bare(
    lambda frame: {**frame, "data": {**frame["data"], "done": None}}
))  # fmt: skip
defect("repeats the reward", "FRM-25", alter_reply=_data(
    lambda data: {**data, "observation": {**data["observation"], "reward": data["reward"]}}
))  # fmt: skip
defect("no metadata where it is empty", "FRM-26", alter_reply=_observation(
    lambda it: it if it["metadata"] else _without(it, "metadata")
))  # fmt: skip
defect("metadata is null where it is empty", "FRM-26", observation_model=Loose, alter_reply=_observation(
    lambda it: {**it, "metadata": it["metadata"] or None}
))  # fmt: skip
defect("metadata is always beside", "FRM-27", alter_reply=_data(lambda it: {**it, "metadata": it.get("metadata", {})}))
defect("metadata is never beside", "FRM-27", alter_reply=_data(lambda data: _without(data, "metadata")))
defect("metadata beside is counted", "FRM-28", alter_reply=_data(
    lambda data: {**data, "metadata": {**data["metadata"], "count": 1}} if "metadata" in data else None
))  # fmt: skip
