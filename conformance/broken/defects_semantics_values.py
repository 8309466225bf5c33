"""Defects of section 11: rewards, schemas, and the values of actions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conformance.broken import COUNTER, defect, reply
from conformance.broken.defects_semantics import env
from conformance.broken.healthy import Counter, Frame, Healthy, Invalid, Session, entry

UNKNOWN = replace(COUNTER, actions=())
"""No action is given, so that some are derived."""


def _observation(kind: str, change: Any) -> Any:
    """A method `alter_reply` that changes the data of observation frames that answer a request of a kind."""

    def altered(request: Any, frame: Frame) -> Frame | None:
        if frame["type"] != "observation" or request["type"] != kind:
            return None
        data = {**frame["data"], "observation": dict(frame["data"]["observation"])}
        change(data)
        return {**frame, "data": data}

    return reply(altered)


def _sum(self: Counter, action: Frame) -> Frame:
    data = Counter.step(self, action)
    self.state["total"] = self.state.get("total", 0.0) + data["reward"]  # a reset begins with another state
    return {**data, "reward": self.state["total"]}


def _no_reward_for_nothing(self: Counter, action: Frame) -> Frame:
    data = Counter.step(self, action)
    return {**data, "reward": data["reward"] or None}


def _changed_payload(change: Any) -> Any:
    """A method `action` that changes what an action carries."""

    def action(self: Healthy, data: Frame) -> Frame:
        action = Healthy.action(self, data)
        return {**action, "payload": change(action["payload"])} if "payload" in action else action

    return action


def _without_booleans(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_booleans(it) for key, it in value.items()}
    if isinstance(value, list):
        return [_without_booleans(it) for it in value]
    return int(value) if isinstance(value, bool) else value


def _schema(key: str, **keywords: Any) -> Any:
    """A method `schema` in which keywords of one schema are others."""

    def schema(self: Healthy) -> Frame:
        body = Healthy.schema(self)
        return {**body, key: {**body[key], **keywords}}

    return schema


def _refused_unless_three(self: Healthy, session: Session, frame: Frame) -> Frame:
    action = self.action(self.object_data(frame))
    if action["by"] != 3:
        raise Invalid([entry("value_error", ["by"], "by must be three", action["by"])])
    return Healthy.on_step(self, session, frame)


defect("rewards are sums", "SEM-14", build=env(step=_sum))
defect("no reward where there is nothing to reward", "SEM-15", build=env(step=_no_reward_for_nothing))
defect(
    "a reward that is a boolean",
    "SEM-15",
    alter_reply=_observation("step", lambda data: data.update(reward=data["reward"] == 1)),
)
defect(
    "a step shows a value of another type",
    "SEM-16",
    alter_reply=_observation("step", lambda data: data["observation"].update(value=str(data["observation"]["value"]))),
)
defect("the schema wants what is not shown", "SEM-16", schema=_schema("observation", required=["value", "hint"]))
defect(
    "a reset shows what the schema does not know",
    "SEM-17",
    alter_reply=_observation("reset", lambda data: data["observation"].update(note="ready")),
)
defect(
    "a list loses its end",
    "SEM-21",
    action=_changed_payload(lambda value: value[:-1] if isinstance(value, list) else value),
)
defect("booleans become numbers", "SEM-21", action=_changed_payload(_without_booleans))
defect(
    "no derived action is taken", "SEM-22", without="ws", inputs=UNKNOWN, on_step=_refused_unless_three
)  # fmt: skip
defect(
    "a schema of other actions", "SEM-22", "ERR-10", "HTTP-25",
    schema=_schema("action", properties={"count": {"type": "integer"}}, required=["count"]),
)  # fmt: skip
