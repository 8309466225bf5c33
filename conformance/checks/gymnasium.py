"""Section 13.3 of the specification: the description of a wrapped Gymnasium environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.actions import resolve
from conformance.checks import check
from conformance.spaces import KINDS
from conformance.values import MSGPACK_V1
from conformance.view import Broken, NotApplicable, Untested, View, expect, short
from conformance.wrapped import (
    document,
    is_selected,
    is_wrapped,
)

TABLE: dict[str, tuple[type, ...]] = {
    "format": (str,), "observation_space": (dict,), "action_space": (dict,), "metadata": (dict,), "types": (dict,),
    "reward": (str,), "spec": (dict, type(None)), "render_modes": (list,), "codecs": (list,), "vector": (bool,),
    "limits": (dict,),
}  # fmt: skip
BUILDING = 0.1
"""Seconds that a request must take longer for building an environment, so that it is told from one that does not."""


# GET /gymnasium


@check("GYM-1")
def described(view: View) -> None:
    body = document(view)
    missing = [key for key in TABLE if key not in body]
    expect(not missing, f"GET /gymnasium lacks {', '.join(missing)}")
    for key, types in TABLE.items():
        expect(isinstance(body[key], types), f"`{key}` of /gymnasium is {short(body[key])}")
    expect(body["format"] == "gymnasium-space/1", f"`format` of /gymnasium is {short(body['format'])}")
    for key in ("observation_space", "action_space"):
        expect(body[key].get("type") in KINDS, f"`{key}` of /gymnasium is no space: {short(body[key])}")
    modes = body["render_modes"]
    expect(all(isinstance(it, str) for it in modes) and "human" not in modes, f"`render_modes` is {short(modes)}")


@check("GYM-2")
def nothing_described(view: View) -> None:
    exchange = view.exchange("http.gymnasium")
    if exchange.status == 404:
        return
    if is_wrapped(view):
        raise NotApplicable("the server wraps a Gymnasium environment")
    raise Broken(f"GET /gymnasium is answered {exchange.status} by a server that wraps no Gymnasium environment")


@check("GYM-3")
def listed_codecs(view: View) -> None:
    listed = document(view).get("codecs")
    if not isinstance(listed, list):
        raise Broken(f"`codecs` is {short(listed)}")
    expect("json" in listed, f"`codecs` is {short(listed)}, without json")
    expect(not is_selected(view) or MSGPACK_V1 in listed, f"{MSGPACK_V1} is selected and not among {short(listed)}")
    for codec in [it for it in listed if it != "json"][:4]:
        selected = view.any_socket(f"gymnasium.codec.{codec}").subprotocol
        expect(
            selected == codec, f"`codecs` lists {short(codec)}; when it is offered, {selected or 'none'} is selected"
        )


@check("GYM-4")
def builds_nothing(view: View) -> str:
    document(view)
    builds = [view.exchange(f"gymnasium.builds.{number}") for number in range(3)]
    describes = [view.exchange(f"gymnasium.describes.{number}") for number in range(3)]
    built, described = (min(it.seconds for it in exchanges) for exchanges in (builds, describes))
    if any(it.status != 200 for it in builds):
        raise Untested("no request is known that builds an environment; serve it in simulation mode")
    expect(
        described < BUILDING or described < built / 2,
        f"GET /gymnasium takes {described:.2f} s; GET /state, which builds an environment, {built:.2f} s",
    )
    if built < 2 * BUILDING:
        raise Untested(f"an environment is built in {built:.3f} s; it shows with one that takes {2 * BUILDING:g} s")
    return f"GET /gymnasium takes {described:.3f} s, building an environment {built:.3f} s"


@check("GYM-5")
def spaces_in_state_schema(view: View) -> None:
    body, state = document(view), view.schema.get("state")
    found = state.get("x-gymnasium-space") if isinstance(state, dict) else None
    spaces = {key: body.get(key) for key in ("observation_space", "action_space")}
    expect(found == spaces, f"`x-gymnasium-space` of the state schema is {short(found)}, not the two spaces")


@check("GYM-6")
def no_spaces_in_action_schema(view: View) -> None:
    body, schema = document(view), view.schema.get("action")
    spaces = [body.get("observation_space"), body.get("action_space")]
    names = {"x-gymnasium-space", "observation_space", "action_space"}
    for part in _objects(schema):
        found = names & part.keys() or ({"a space"} if part in spaces else set())
        expect(not found, f"the action schema holds {', '.join(sorted(found))}: {short(part)}")


@check("GYM-11")
def one_required_field(view: View) -> None:
    document(view)
    schema = view.schema.get("action")
    expect(isinstance(schema, dict), "the action schema is no object")
    top = resolve(schema, schema if isinstance(schema, dict) else {})
    expect(top.get("required") == ["action"], f"the action schema requires {short(top.get('required'))}")
    expect("action" in top.get("properties", {}), "the action schema describes no field `action`")


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from _objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _objects(value)
