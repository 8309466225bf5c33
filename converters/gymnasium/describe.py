"""What a server says of a Gymnasium environment: schemas, the exact spaces, the spec."""

from __future__ import annotations

import json
import re
from inspect import cleandoc
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from converters.gymnasium.spaces import json_schema, space_to_json
from converters.gymnasium.values import encode_free
from interop.environment import Description
from interop.errors import CannotCarry
from interop.protocol.codecs import MSGPACK_V1

FORMAT = "gymnasium-space/1"
_TYPES = {"type": "object", "additionalProperties": {"type": "string"}}


def describe(env: gymnasium.Env[Any, Any], name: str, *, vector: bool, max_sessions: int | None) -> Description:
    """The description of an environment; it is built, and not stepped."""
    document = gymnasium_document(env, vector=vector)
    spaces = {key: document[key] for key in ("observation_space", "action_space")}
    return Description(
        name=name,
        description=_summary(env, name),
        version=_version(env.spec),
        action=_object({"action": json_schema(env.action_space)}, ["action"], title="GymnasiumAction"),
        observation=_observation(env),
        state=_object(
            {
                "episode_id": {"type": ["string", "null"]},
                "step_count": {"type": "integer", "minimum": 0},
                "render": {},
                "types": _TYPES,
            },
            ["episode_id", "step_count"],
            title="GymnasiumState",
        )
        | {"x-gymnasium-space": spaces},
        extensions={"gymnasium": document},
        max_sessions=max_sessions,
    )


def gymnasium_document(env: gymnasium.Env[Any, Any], *, vector: bool) -> dict[str, Any]:
    """The body of `GET /gymnasium`: all that the OpenEnv protocol has no place for."""
    types: dict[str, str] = {}
    modes = env.metadata.get("render_modes", [])
    return {
        "format": FORMAT,
        "observation_space": space_to_json(env.observation_space),
        "action_space": space_to_json(env.action_space),
        "metadata": _metadata(env, types),
        "types": types,
        "render_modes": [mode for mode in modes if mode != "human"],
        "spec": _spec(env.spec),
        "reward": "per-step",
        "codecs": ["json", MSGPACK_V1],
        "vector": vector,
    }


def _metadata(env: gymnasium.Env[Any, Any], types: dict[str, str]) -> dict[str, Any]:
    plain = {}
    for key, value in env.metadata.items():
        try:
            plain[str(key)] = encode_free(value, f"/metadata/{key}", types)
        except CannotCarry:
            # Metadata may hold anything, functions too, and no client needs what it cannot hold.
            continue
    return plain


def _spec(spec: EnvSpec | None) -> dict[str, Any] | None:
    if spec is None:
        return None
    try:
        document: dict[str, Any] = json.loads(spec.to_json())
    except (TypeError, ValueError):
        # A callable in the spec has no JSON; these say what a registration needs.
        return {
            "id": spec.id,
            "reward_threshold": spec.reward_threshold,
            "nondeterministic": spec.nondeterministic,
            "max_episode_steps": spec.max_episode_steps,
        }
    return document


def _observation(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    return _object(
        {
            "metadata": {"type": "object"},
            "obs": json_schema(env.observation_space),
            "terminated": {"type": "boolean"},
            "truncated": {"type": "boolean"},
            "info": {"type": "object"},
            "types": _TYPES,
            "reward": {"type": ["number", "boolean", "null"]},
            "done": {"type": "boolean"},
        },
        ["obs", "terminated", "truncated", "info", "reward", "done"],
        title="GymnasiumObservation",
    )


def _object(properties: dict[str, Any], required: list[str], *, title: str) -> dict[str, Any]:
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _summary(env: gymnasium.Env[Any, Any], name: str) -> str:
    """The first paragraph of its documentation that is no heading, up to the end of the first sentence."""
    documentation = cleandoc(type(env.unwrapped).__doc__ or "")
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n|^#.*$", documentation, flags=re.MULTILINE))
    text = next((part for part in paragraphs if part and part.lower() != "description"), "")
    sentence = re.split(r"(?<=[.!?]) (?=[A-Z])", text, maxsplit=1)[0]
    return f"{name}: {sentence}" if text else f"{name}, a Gymnasium environment"


def _version(spec: EnvSpec | None) -> str:
    return f"{spec.version or 0}.0.0" if spec is not None else "1.0.0"
