"""A tiny healthy server of a wrapped Gymnasium environment, in JSON and in MessagePack."""

from __future__ import annotations

import random
import struct
import uuid
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from conformance.broken.gym_vector import Vectors
from conformance.broken.healthy import (
    Frame,
    Healthy,
    Invalid,
    Rejected,
    ResetBody,
    Session,
    entry,
    error,
    flat,
    json_response,
)  # fmt: skip
from conformance.broken.wire import Channel, Request, Response
from conformance.values import MSGPACK_V1, Array, number, pack, unpack

OBSERVATIONS: dict[str, Any] = {
    "type": "Box",
    "dtype": "float32",
    "shape": [2],
    "low": [-5.0, "-Infinity"],
    "high": [5.0, "Infinity"],
}
ACTIONS: dict[str, Any] = {"type": "Discrete", "dtype": "int64", "n": 4, "start": 0}
RAISES = 3


class GymAction(BaseModel):
    """Where to walk."""

    model_config = ConfigDict(extra="forbid")

    action: Annotated[int, Field(strict=True, ge=0, le=3)]


class GymObservation(BaseModel):
    """What a walker shows."""

    done: bool = False
    reward: float | None = None
    metadata: dict[str, Any] = {}
    obs: list[float | str]
    terminated: bool
    truncated: bool
    info: dict[str, Any] = {}
    types: dict[str, str] = {}


class GymState(BaseModel):
    """Where a walker is."""

    model_config = ConfigDict(
        json_schema_extra={"x-gymnasium-space": {"observation_space": OBSERVATIONS, "action_space": ACTIONS}}
    )

    episode_id: str | None = None
    step_count: Annotated[int, Field(ge=0)] = 0
    render: str | None = None


class Walk:
    """The environment: a walker that gets 1 for each step until it is 2 away from the origin, or took 12 steps."""

    length = 12

    def __init__(self) -> None:
        self.random = random.Random()
        self.state: Frame = {"episode_id": None, "step_count": 0}
        self.position = 0.0
        self.mode: str | None = None
        self.packed = False
        self.walkers: list[Walk] | None = None
        """The sub-environments of vector messages."""
        self.autoreset = "NextStep"
        self.started = False
        self.ended: tuple[bool, bool] = (False, False)
        self.shown: Frame = {}
        """What it showed last, as a sub-environment."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Frame:
        """Start an episode near the origin."""
        if seed is not None:
            self.random.seed(seed)
        self.started, self.ended = True, (False, False)
        self.state = {"episode_id": episode_id or str(uuid.uuid4()), "step_count": 0}
        self.position = self.random.uniform(-0.5, 0.5)
        return self.result(None, {})

    def step(self, action: Frame) -> Frame:
        """Walk."""
        if not self.started:
            raise RuntimeError("reset comes before step")
        if action["action"] == RAISES:
            raise RuntimeError("too far")
        self.state["step_count"] += 1
        self.position += (action["action"] - 1) * 0.25 + self.random.uniform(-0.01, 0.01)
        self.ended = (abs(self.position) >= 2, self.state["step_count"] >= self.length)
        near = Array("int8", (3,), tuple(int(abs(self.position) < limit) for limit in (1, 2, 3)))
        return self.result(1.0, {"near": near, "moves": Array("int64", (), (self.state["step_count"],), scalar=True)})

    def observe(self) -> Array:
        """The observation."""
        return Array("float32", (2,), (float32(self.position), float32(self.random.random() / 3)))

    def result(self, reward: Any, info: Frame) -> Frame:
        """The `data` of an observation frame, with native values."""
        terminated, truncated = self.ended
        observation = {"obs": self.observe(), "terminated": terminated, "truncated": truncated, "info": info}
        return {"observation": {"metadata": {}, **observation}, "reward": reward, "done": terminated or truncated}

    def render(self) -> str:
        """A picture."""
        return f"walker at {self.position:.2f}\n"

    def close(self) -> None:
        """Nothing is held."""


class Gym(Vectors, Healthy):
    """The server. What it sends is native until it is written, as `plain` JSON or packed."""

    action_model = GymAction
    observation_model = GymObservation
    state_model = GymState
    env_name = "walk"
    codecs: tuple[str, ...] = (MSGPACK_V1,)
    has_vector = True
    modes: tuple[str, ...] = ("ansi",)

    def build(self) -> Any:
        return Walk()

    # The description

    def routes(self) -> dict[str, dict[str, Any]]:
        return super().routes() | {"/gymnasium": {"GET": self.get_gymnasium}}

    def get_gymnasium(self, request: Request) -> Response:
        """Answer `GET /gymnasium`."""
        return json_response(200, self.describe())

    def describe(self) -> Frame:
        """The body of `/gymnasium`."""
        return {
            "format": "gymnasium-space/1",
            "observation_space": OBSERVATIONS,
            "action_space": ACTIONS,
            "metadata": {"render_modes": ["human", *self.modes]},
            "types": {},
            "reward": "per-step",
            "spec": None,
            "render_modes": list(self.modes),
            "codecs": ["json", *self.codecs],
            "vector": self.has_vector,
            "limits": {"max_sessions": self.capacity},
        }

    def post_reset(self, request: Request) -> Response:
        body = self.validated_body(ResetBody, request, empty=True)
        frame = {"type": "observation", "data": self.build().reset(**body)}
        return json_response(200, flat(self.plain(frame)["data"]))

    # MessagePack

    def upgrade(self, request: Request) -> Response | str | None:
        offered = [it.strip() for it in request.headers.get("sec-websocket-protocol", "").split(",")]
        return super().upgrade(request) or self.select(offered)

    def select(self, offered: list[str]) -> str | None:
        """The subprotocol of a handshake."""
        return next((it for it in offered if it in self.codecs), None)

    def admit(self, channel: Channel) -> Session:
        session = super().admit(channel)
        session.env.packed = channel.subprotocol is not None
        return session

    def say(self, channel: Channel, session: Session | None, request: Any, reply: Frame) -> None:
        if channel.subprotocol is None:
            super().say(channel, session, request, reply)
        else:
            self.say_packed(channel, self.alter_packed(session, self.alter_reply(session, request, reply)))

    def say_packed(self, channel: Channel, frame: Frame) -> None:
        """Send a frame as MessagePack."""
        channel.send_binary(pack(frame))

    def alter_packed(self, session: Session | None, frame: Frame) -> Frame:
        """Where defects change what is packed."""
        return frame

    def answer(self, session: Session, payload: bytes, text: bool) -> Frame | None:
        if not session.env.packed:
            return super().answer(session, payload, text)
        try:
            return self.dispatch(session, self.read_packed(payload, text))
        except Invalid as exc:
            return error("VALIDATION_ERROR", "Invalid message", errors=exc.errors)
        except Rejected as exc:
            return exc.frame

    def read_packed(self, payload: bytes, text: bool) -> Frame:
        """The frame of a message. Raises `Rejected` or `Invalid`."""
        if text:
            raise Invalid([entry("bytes_type", [], "Send binary messages", payload.decode())])
        try:
            frame = unpack(payload)
        except ValueError as exc:
            raise Rejected(error("INVALID_JSON", f"Invalid MessagePack: {exc}")) from None
        if not isinstance(frame, dict):
            raise Invalid([entry("dict_type", [], "Input should be a valid dictionary", frame)])
        return frame

    # Frames

    def dispatch(self, session: Session, frame: Frame) -> Frame | None:
        if frame.get("type") == "vector" and session.env.packed:
            return self.on_vector(session, frame)
        return super().dispatch(session, frame)

    def on_reset(self, session: Session, frame: Frame) -> Frame:
        data = frame.get("data")
        mode = data.get("render_mode") if isinstance(data, dict) else None
        if mode is not None:
            self.render_with(session.env, mode)
        return super().on_reset(session, frame)

    def render_with(self, env: Any, mode: Any) -> None:
        """Take a render mode. Raises `Invalid`."""
        if mode not in self.modes or (env.started and mode != env.mode):
            raise Invalid([entry("value_error", ["render_mode"], "No such render mode, or too late", mode)])
        env.mode = mode

    def on_state(self, session: Session, frame: Frame) -> Frame:
        reply = super().on_state(session, frame)
        if session.env.mode is not None:
            reply["data"]["render"] = session.env.render()
        return reply

    def action(self, data: Frame) -> Frame:
        return super().action({key: number(value) for key, value in data.items() if key != "types"})

    # Plain JSON

    def encode(self, frame: Frame) -> str:
        return super().encode(self.plain(frame))

    def plain(self, frame: Frame) -> Frame:
        """A frame with the plain form of its observation."""
        data = frame.get("data", {})
        native = data.get("observation")
        if not isinstance(native, dict):
            return frame
        types: dict[str, str] = {}
        observation = {key: self.plain_value(value, f"/{key}", types) for key, value in native.items()}
        if types:
            observation["types"] = types
        return {**frame, "data": {**data, "observation": observation}}

    def plain_value(self, value: Any, at: str, types: dict[str, str]) -> Any:
        """The plain form of a value; `types` gets an entry where the space does not tell what it is."""
        if isinstance(value, dict):
            return {key: self.plain_value(item, f"{at}/{key}", types) for key, item in value.items()}
        if not isinstance(value, Array):
            return value
        if at != "/obs":
            types[at] = value.dtype if value.scalar else f"{value.dtype}({','.join(map(str, value.shape))})"
        items = [shortest(item) if value.dtype == "float32" else item for item in value.items]
        return items[0] if value.scalar else items


def float32(value: float) -> float:
    """A number as a float32 holds it."""
    held: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return held


def shortest(value: float) -> float:
    """The number of the fewest digits that is the same float32."""
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))
    return next(float(text) for text in texts if float32(float(text)) == value)
