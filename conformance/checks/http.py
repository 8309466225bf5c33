"""Sections 8.1 and 8.2 of the specification: routes, modes, health, metadata and schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from conformance.actions import resolve
from conformance.checks import check
from conformance.evidence import Exchange, Socket
from conformance.recorder import parsed
from conformance.view import Broken, Missing, NotApplicable, Reply, Untested, View, expect, short

STATELESS = ("/reset", "/step", "/state")
METADATA = ["name", "description", "readme_content", "version", "author", "documentation_url"]
SCHEMAS = ("action", "observation", "state", "reset_observation")
SOON = 1.0


def simulation(view: View) -> None:
    """Raise `NotApplicable` where the server declares production mode: `/reset` is neither described nor served."""
    if _production(view):
        raise NotApplicable("the server is in production mode: it has no `/reset`, `/step` and `/state`")


def is_served(view: View, path: str) -> bool:
    """Whether the server has one of the stateless routes."""
    return view.exchange(f"http.{path[1:]}").status not in (404, 405)


def media_type(exchange: Exchange) -> str:
    """The content type of a response, without parameters."""
    return (exchange.header("Content-Type") or "").partition(";")[0].strip().lower()


def _production(view: View) -> bool:
    body = parsed(view.exchange("http.openapi").body)
    paths = body.get("paths") if isinstance(body, dict) else None
    return isinstance(paths, dict) and "/reset" not in paths and view.exchange("http.reset").status == 404


@check("HTTP-1")
def all_or_none(view: View) -> None:
    served = [path for path in STATELESS if is_served(view, path)]
    expect(len(served) in (0, 3), f"of `/reset`, `/step` and `/state` only {' and '.join(served)} exist")


@check("HTTP-2")
def nothing_stateless_in_production(view: View) -> None:
    if not _production(view):
        raise NotApplicable("the server is not in production mode")
    for path in STATELESS:
        exchange = view.exchange(f"http.{path[1:]}")
        status = exchange.status
        expect(status == 404, f"{exchange.method} {path} is answered {status} in production mode, not 404")


@check("HTTP-3")
def unknown_paths(view: View) -> None:
    for name in ("http.unknown", "http.unknown.post", "http.unknown.deep"):
        expect_detail(view, name, 404, "Not Found")


@check("HTTP-4")
def unknown_methods(view: View) -> None:
    for name in ("http.method.health", "http.method.schema", "http.method.reset"):
        if name != "http.method.reset" or is_served(view, "/reset"):
            expect_detail(view, name, 405, "Method Not Allowed")


def expect_detail(view: View, name: str, status: int, detail: str) -> None:
    """Raise `Broken` unless a response has a status and the body `{"detail": detail}`."""
    body = view.body(name, status)
    wanted = {"detail": detail}
    exchange = view.exchange(name)
    expect(
        body == wanted, f"{exchange.method} {exchange.path} is answered with {short(body)}, expected {short(wanted)}"
    )


@check("HTTP-5")
def json_content_type(view: View) -> None:
    bodies = [it for it in view.evidence.exchanges() if isinstance(parsed(it.body), (dict, list))]
    if not bodies:
        raise Missing("no response had a JSON body")
    for exchange in bodies:
        if media_type(exchange) != "application/json":
            view.look(exchange.name)
            given = exchange.header("Content-Type")
            raise Broken(f"the JSON body of {exchange.method} {exchange.path} has the content type {given!r}")
    view.look(bodies[0].name)


@check("HTTP-6")
def health(view: View) -> None:
    exchange = view.exchange("http.health")
    text = exchange.body.decode(errors="replace")
    expect(
        exchange.status == 200 and exchange.body == b'{"status":"healthy"}',
        f'GET /health is answered {exchange.status} {short(text)}, expected 200 {{"status":"healthy"}}',
    )


@check("HTTP-7")
def health_without_environment(view: View) -> None:
    failed = next((reply for reply in view.replies("error") if reply.code == "FACTORY_ERROR"), None)
    view.trail.clear()
    if failed is None:
        raise Untested("the environment could be built; run the suite once against a server whose environment cannot")
    view.look(failed.socket.name, failed.index)
    for name in ("http.health", "http.health.later"):
        status = view.exchange(name).status
        expect(status == 200, f"GET /health is answered {status}, where the environment cannot be built")


@check("HTTP-8")
def metadata(view: View) -> None:
    body = view.body("http.metadata")
    expect(isinstance(body, dict), f"GET /metadata is no object: {short(body)}")
    for key in ("name", "description"):
        expect(isinstance(body.get(key), str), f"`{key}` of /metadata is no string: {short(body)}")


@check("HTTP-9")
def metadata_keys(view: View) -> None:
    body = view.body("http.metadata")
    expect(list(body) == METADATA, f"/metadata has the keys {', '.join(body)}; expected are {', '.join(METADATA)}")
    wrong = {key: body[key] for key in METADATA[2:] if body[key] is not None and not _says_something(body[key])}
    expect(not wrong, f"/metadata has {short(wrong)}, where there is null or a text")


def _says_something(value: Any) -> bool:
    return isinstance(value, str) and value != ""


@check("HTTP-10")
def schemas(view: View) -> None:
    for key in SCHEMAS[:3]:
        schema = view.schema.get(key)
        expect(isinstance(schema, dict), f"`{key}` of /schema is no JSON Schema object: {short(schema)}")


@check("HTTP-11")
def reset_schema(view: View) -> None:
    schema = view.schema.get("reset_observation")
    expect(isinstance(schema, dict), f"`reset_observation` of /schema is no object: {short(schema)}")


@check("HTTP-12")
def valid_schemas(view: View) -> None:
    for key in SCHEMAS:
        schema = view.schema.get(key)
        if not isinstance(schema, dict):
            continue  # that is another requirement's
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as exc:
            raise Broken(f"`{key}` of /schema is not valid: {exc.json_path}: {short(exc.message)}") from None
        dangling = list(_dangling(schema))
        expect(not dangling, f"`{key}` of /schema refers to {', '.join(dangling)}, which it does not contain")


def _dangling(schema: dict[str, Any]) -> Iterator[str]:
    """References that lead out of a schema, or nowhere."""
    root = DRAFT202012.create_resource(schema)
    open_ends: list[tuple[Resource[Any], Any]] = [(root, Registry[Any]().resolver_with_root(root))]
    while open_ends:
        resource, resolver = open_ends.pop()
        if isinstance(resource.contents, dict) and isinstance(ref := resource.contents.get("$ref"), str):
            try:
                resolver.lookup(ref)
            except Unresolvable:
                yield ref
        open_ends += [(it, resolver.in_subresource(it)) for it in resource.subresources()]


@check("HTTP-13")
def flat_observation(view: View) -> None:
    schema = view.schema.get("observation")
    described = _properties(schema, schema)
    for key in ("reward", "done"):
        expect(key in described, f"`observation` of /schema does not describe `{key}`, only {short(sorted(described))}")
    fields = [set(reply.observation) - {"metadata"} for reply in _steps(view)]
    missing = [names - described for names in fields]
    # An environment may have several kinds of observations; one of them has to be the described one.
    expect(
        not missing or not all(missing),
        f"`observation` of /schema does not describe {short(sorted(set().union(*missing)))}, which observations have, "
        f"only {short(sorted(described))}",
    )


def _properties(schema: Any, root: Any, depth: int = 0) -> set[str]:
    """The names of the properties that a schema describes at its top."""
    schema = resolve(schema, root)
    parts = [part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key, [])] if depth < 4 else []
    return set(schema.get("properties", {})).union(*(_properties(part, root, depth + 1) for part in parts))


def _steps(view: View) -> Iterator[Reply]:
    """Observations that answer the first actions of the run."""
    socket = view.evidence.conversations.get("actions")
    if isinstance(socket, Socket) and socket.is_open:
        for label in [event.label for event in socket.events if event.label.startswith("action.")]:
            reply = view.answer("actions", label)
            if reply is not None and reply.type == "observation":
                yield reply


@check("HTTP-18")
def descriptions_do_not_wait(view: View) -> None:
    for path in ("health", "metadata", "schema"):
        _expect_soon(view.exchange(f"http.{path}"), "")
    view.given("slow", "no action is known that takes 2 seconds")
    reply = view.ask("http.slow", "slow step")
    sent = reply.socket.events[reply.socket.find("slow step") or 0]
    if reply.event.at - sent.at < 2 * SOON:
        raise Untested(
            f"the step given as slow took {reply.event.at - sent.at:.1f} s; give one that takes 2 s as `slow`"
        )
    for path in ("health", "metadata", "schema"):
        _expect_soon(view.exchange(f"http.slow.{path}"), ", while a step ran")


def _expect_soon(exchange: Exchange, when: str) -> None:
    expect(exchange.seconds <= SOON, f"GET {exchange.path} was answered after {exchange.seconds:.2f} s{when}")
