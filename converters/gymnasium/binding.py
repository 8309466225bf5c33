"""How a server's frames and Gymnasium's values are each other: exact for our servers, inferred for any other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import orjson
from gymnasium import Space
from gymnasium.envs.registration import EnvSpec

from converters.gymnasium.describe import FORMAT
from converters.gymnasium.infer import Inferred, infer, text_action, text_observation, text_space
from converters.gymnasium.spaces import space_from_json
from converters.gymnasium.values import ValueCodec, decode_free, encode_free
from interop.client import ClientOptions, Session
from interop.client._common import http_url
from interop.environment import RawJSON
from interop.errors import ConnectError, ProtocolError
from interop.protocol.codecs import MSGPACK_V1

Spaces = tuple["Space[Any] | None", "Space[Any] | None"]
Step = tuple[Any, Any, bool, bool, dict[str, Any]]


@dataclass(slots=True, kw_only=True)
class Binding:
    """The spaces of a server and the way its values take. Built by `of`; `exact` is for servers of this project."""

    observation_space: Space[Any]
    action_space: Space[Any]
    metadata: dict[str, Any]
    spec: EnvSpec | None
    exact: bool
    vector: bool = False
    encode_action: Callable[[Any], Mapping[str, Any]]
    decode_observation: Callable[[Mapping[str, Any]], Any]
    _obs: ValueCodec | None = None
    _action: ValueCodec | None = None

    @classmethod
    def of(
        cls,
        url: str,
        options: ClientOptions,
        *,
        spaces: Spaces | None = None,
        encode_action: Callable[[Any], Mapping[str, Any]] | None = None,
        decode_observation: Callable[[Mapping[str, Any]], Any] | None = None,
        text: bool = False,
    ) -> Binding:
        """Ask the server what it is. Raises `ConnectError`, or `ProtocolError` where its documents make no sense."""
        document, schema = _documents(url, options)
        overridden = text or spaces is not None or encode_action is not None or decode_observation is not None
        if document is not None and not overridden:
            return cls._exact(document)
        inferred = _text(schema) if text else infer(schema)
        metadata: dict[str, Any] = {"render_modes": [], "render_fps": 30}
        spec = None
        if document is not None:
            exact = cls._exact(document)
            metadata, spec = exact.metadata, exact.spec
        observation_space, action_space = spaces or (None, None)
        return cls(
            observation_space=observation_space or inferred.observation_space,
            action_space=action_space or inferred.action_space,
            metadata=metadata,
            spec=spec,
            exact=False,
            encode_action=encode_action or inferred.encode_action,
            decode_observation=decode_observation or inferred.decode_observation,
        )

    @classmethod
    def _exact(cls, document: Mapping[str, Any]) -> Binding:
        try:
            observation_space = space_from_json(document["observation_space"])
            action_space = space_from_json(document["action_space"])
            plain, types = document["metadata"], document["types"]
            metadata = {key: decode_free(value, f"/metadata/{key}", types) for key, value in plain.items()}
        except (KeyError, ValueError) as exc:
            raise ProtocolError(f"GET /gymnasium is not {FORMAT}: {exc}") from exc
        metadata["render_modes"] = list(document["render_modes"])
        return cls(
            observation_space=observation_space,
            action_space=action_space,
            metadata=metadata,
            spec=_spec(document.get("spec")),
            exact=True,
            vector=bool(document.get("vector")),
            encode_action=_unused,
            decode_observation=_unused,
            _obs=ValueCodec(observation_space, "/obs"),
            _action=ValueCodec(action_space, "/action"),
        )

    def reset_data(
        self, session: Session, seed: int | None, options: dict[str, Any] | None, render_mode: str | None
    ) -> Any:
        """The `data` of a reset frame."""
        data: dict[str, Any] = {} if seed is None else {"seed": int(seed)}
        if options is not None and (options or self.exact):
            data |= {"options": options} if self.exact else options
        if render_mode is not None:
            data["render_mode"] = render_mode
        if session.codec == MSGPACK_V1 or "options" not in data:
            return data
        types: dict[str, str] = {}
        data["options"] = encode_free(options, "/options", types)
        return _json(data, types)

    def step_data(self, session: Session, action: Any) -> Any:
        """The `data` of a step frame."""
        if self._action is None:
            return self.encode_action(action)
        if session.codec == MSGPACK_V1:
            return {"action": action}
        types: dict[str, str] = {}
        return _json({"action": self._action.encode(action, types)}, types)

    def decode(self, session: Session, data: Mapping[str, Any]) -> Step:
        """Gymnasium's five values of the `data` of an observation frame."""
        observation = data.get("observation")
        if not isinstance(observation, dict):
            raise ProtocolError(f"the reply has no observation object: {data!r:.200}")
        if self._obs is None:
            return self._decode_inferred(observation, data)
        reward = data.get("reward")
        if session.codec == MSGPACK_V1:
            o = observation
            return o["obs"], 0.0 if reward is None else reward, o["terminated"], o["truncated"], o["info"]
        types = observation.get("types", {})
        obs = self._obs.decode(observation["obs"], types)
        terminated, truncated, info = observation["terminated"], observation["truncated"], observation["info"]
        if types:
            terminated = decode_free(terminated, "/terminated", types)
            truncated = decode_free(truncated, "/truncated", types)
            info = decode_free(info, "/info", types)
            reward = _reward(reward, types)
        return obs, 0.0 if reward is None else reward, terminated, truncated, info

    def decode_render(self, session: Session, state: Mapping[str, Any]) -> Any:
        """The frame in the state of a session with a render mode."""
        render = state.get("render")
        return render if session.codec == MSGPACK_V1 else decode_free(render, "/render", state.get("types", {}))

    def _decode_inferred(self, observation: Mapping[str, Any], data: Mapping[str, Any]) -> Step:
        metadata = data.get("metadata") or observation.get("metadata") or {}
        done = bool(data.get("done", False))
        info: dict[str, Any] = {"metadata": metadata} if metadata else {}
        truncated = _truncated(observation, metadata)
        if truncated is None:
            if done:
                info["openenv.truncation"] = "unknown"  # the protocol says done alone
            truncated = False
        terminated = observation.get("terminated")
        if not isinstance(terminated, bool):
            terminated = done and not truncated
        reward = data.get("reward")
        if reward is None:
            info["openenv.reward"] = "none"
        return self.decode_observation(observation), 0.0 if reward is None else reward, terminated, truncated, info


def _documents(url: str, options: ClientOptions) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    base = http_url(url)
    try:
        with httpx.Client(
            base_url=base,
            headers=dict(options.headers),
            timeout=options.connect_timeout,
            trust_env=False,
            # A TLS context is most of the time that an environment takes to be made; plain HTTP needs none.
            verify=base.startswith("https:") and (options.ssl or True),
        ) as client:
            exact = client.get("/gymnasium")
            document = exact.json() if exact.status_code == 200 else None
            found: dict[str, Any] | None = None
            if isinstance(document, dict) and document.get("format") == FORMAT:
                found = document
            schema: Any = client.get("/schema").raise_for_status().json()
    except httpx.HTTPStatusError as exc:
        raise ConnectError(
            f"{base} does not describe itself as an OpenEnv server: GET /schema is HTTP {exc.response.status_code}"
        ) from exc
    except (httpx.HTTPError, ValueError) as exc:
        raise ConnectError(f"{base} does not describe itself as an OpenEnv server: {exc}") from exc
    if not isinstance(schema, dict) or not isinstance(schema.get("action"), dict):
        raise ConnectError(f"{base}/schema has no action schema")
    return found, schema


def _spec(document: Mapping[str, Any] | None) -> EnvSpec | None:
    if document is None:
        return None
    try:
        return EnvSpec.from_json(json.dumps(document))
    except Exception:  # a spec of another version of Gymnasium, or without its entry point
        known = ("reward_threshold", "nondeterministic", "max_episode_steps")
        return EnvSpec(str(document.get("id", "Remote-v0")), **{k: document[k] for k in known if k in document})


def _text(schema: Mapping[str, Any]) -> Inferred:
    return Inferred(text_space(), text_space(), text_action(schema), text_observation)


def _reward(reward: Any, types: Mapping[str, str]) -> Any:
    name = types.get("/reward")
    if name is None:
        return reward
    kind, _, special = name.partition(" ")
    if special:
        reward = float(special)
    return reward if kind == "float" else np.dtype(kind).type(reward)


def _truncated(observation: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool | None:
    for place, key in ((observation, "truncated"), (metadata, "truncated"), (metadata, "TimeLimit.truncated")):
        if isinstance(place.get(key), bool):
            return bool(place[key])
    return None


def _json(data: dict[str, Any], types: dict[str, str]) -> RawJSON:
    if types:
        data["types"] = types
    return RawJSON(orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY))


def _unused(_: Any) -> Any:
    raise AssertionError("exact bindings use their codecs")
