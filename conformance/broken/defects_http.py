"""Defects of sections 8.1 and 8.2: HTTP routes, modes and descriptions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from conformance.broken import SLOW, defect
from conformance.broken.healthy import Ending, Frame, Healthy, Production, Session, error, json_response
from conformance.broken.wire import Request, Response

TEXT = {"Content-Type": "text/plain; charset=utf-8"}
FAILURE = Response(500, b"Internal Server Error", TEXT)
NOT_FOUND = json_response(404, {"detail": "Not Found"})
NOTHING_HERE = json_response(404, {"error": "Not Found"})
NO_METHOD = json_response(405, {"detail": "Method Not Allowed"})
DETAIL, NOTHING = {"$ref": "#/components/schemas/Detail"}, {"$ref": "#/components/schemas/Nothing"}
PAGE = Response(200, b"<html></html>", {"Content-Type": "text/html"})
SPACED = Response(200, b'{"status": "healthy"}', {"Content-Type": "application/json"})
DEGRADED = Response(200, b'{"status":"degraded"}', {"Content-Type": "application/json"})
Change = Callable[[Frame], Any]


def answer(change: Callable[[Healthy, Request, Response], Response | None]) -> Any:
    """A method `alter_response`; None leaves a response as it is."""

    def alter_response(self: Healthy, request: Request, response: Response) -> Response:
        return change(self, request, response) or response

    return alter_response


def instead(status: int, path: str, other: Response) -> Any:
    """Another response in place of those of a status on paths that begin so."""
    return answer(
        lambda self, request, given: other if given.status == status and request.path.startswith(path) else None
    )


def _typed(status: int, kind: str) -> Any:
    """Another content type of the responses of a status."""

    def change(self: Healthy, request: Request, response: Response) -> Response | None:
        headers = {"Content-Type": kind} if kind else {}
        return Response(status, response.body, headers) if response.status == status else None

    return answer(change)


def _document(name: str, change: Change) -> Any:
    """A method that describes something, whose document `change` changes in place."""

    def describe(self: Healthy) -> Frame:
        document: Frame = json.loads(json.dumps(getattr(Healthy, name)(self)))
        change(document)
        return document

    return describe


def _metadata(change: Change) -> Any:
    return _document("metadata", change)


def _schema(change: Change) -> Any:
    return _document("schema", change)


def _openapi(change: Change) -> Any:
    return _document("openapi", change)


def _state_schema(**more: Any) -> Any:
    """A method `schema` with a further property of the state that no state has."""
    return _schema(lambda it: it["state"]["properties"].update(more))


def _nested(schema: Frame) -> None:
    """Describe the data of a frame, but for one field, in place of the flat observation."""
    properties = schema["observation"]["properties"]
    flat = {key: properties.pop(key) for key in ("reward", "done", "payload")}
    inner = {"type": "object", "properties": properties}
    schema["observation"] = {"type": "object", "properties": {"observation": inner, **flat}}


def _no_done(schema: Frame) -> None:
    del schema["observation"]["properties"]["done"]
    del schema["observation"]["additionalProperties"]


def _described(path: str, method: str, status: str, schema: Any) -> Any:
    """A method `openapi` that describes a response otherwise, or not at all (None)."""

    def change(document: Frame) -> None:
        responses = document["paths"][path][method]["responses"]
        if schema is None:
            del responses[status]
        else:
            responses[status]["content"]["application/json"]["schema"] = schema

    return _openapi(change)


def routes(base: type[Healthy], change: Callable[[Healthy, Frame], Any]) -> Any:
    """A method `routes`, whose routes `change` changes in place."""

    def altered(self: Healthy) -> dict[str, Any]:
        found = base.routes(self)
        change(self, found)
        return found

    return altered


def _with_state(self: Healthy, routes: Frame) -> None:
    routes["/state"] = {"GET": lambda request: json_response(200, self.build().state)}


def _no_session(self: Healthy) -> Session:
    self.said.append("failed")
    message = "Environment factory 'Counter' failed to create instance."
    raise Ending(error("FACTORY_ERROR", message, factory_name="Counter"))


def _failed_health(self: Healthy, request: Request, response: Response) -> Response | None:
    return FAILURE if self.said and (request.method, request.path) == ("GET", "/health") else None


def _counted_step(self: Healthy, session: Session, frame: Frame) -> Frame:
    self.said.append("step")
    try:
        return Healthy.on_step(self, session, frame)
    finally:
        self.said.remove("step")


def _waits(name: str) -> Any:
    """A method that waits until no step runs."""

    def wait(self: Healthy) -> Frame:
        while "step" in self.said:
            time.sleep(0.01)
        document: Frame = getattr(Healthy, name)(self)
        return document

    return wait


def _late_metadata(self: Healthy) -> Frame:
    time.sleep(1.1)
    return Healthy.metadata(self)


# fmt: off
# Routes and modes
defect(
    "no GET /state", "HTTP-1", "HTTP-19", "HTTP-30",
    routes=routes(Healthy, lambda self, routes: routes.pop("/state")),
)
defect(
    "GET /state in production", "HTTP-1", "HTTP-2", base=Production,
    routes=routes(Production, _with_state),
)
defect("405 for POST /step in production", "HTTP-2", base=Production, alter_response=instead(404, "/step", NO_METHOD))
defect("another 404", "HTTP-3", alter_response=instead(404, "/no-such-path", NOTHING_HERE))
defect("a page for every path", "HTTP-3", alter_response=instead(404, "/no-such-path", PAGE))
defect("404 for a wrong method", "HTTP-4", alter_response=instead(405, "/health", NOT_FOUND))
defect("405 without a body", "HTTP-4", alter_response=instead(405, "/reset", Response(405)))
defect("422 as text", "HTTP-5", alter_response=_typed(422, "text/plain"))
defect("404 without a content type", "HTTP-5", alter_response=_typed(404, ""))

# Descriptions
defect("a space in the health", "HTTP-6", alter_response=instead(200, "/health", SPACED))
defect("a degraded health", "HTTP-6", alter_response=instead(200, "/health", DEGRADED))
defect(
    "no health without an environment", "HTTP-7", without="ws",
    start=_no_session,
    alter_response=answer(_failed_health),
)
defect("metadata without a description", "HTTP-8", metadata=_metadata(lambda it: it.update(description=None)))
defect("metadata without an author", "HTTP-9", metadata=_metadata(lambda it: it.pop("author")))
defect("metadata in another order", "HTTP-9", metadata=_metadata(lambda it: it.update(version=it.pop("version"))))
defect("an empty version", "HTTP-9", metadata=_metadata(lambda it: it.update(version="")))
defect("no state schema", "HTTP-10", "SEM-18", schema=_schema(lambda it: it.pop("state")))
defect("no reset_observation", "HTTP-11", "SEM-17", schema=_schema(lambda it: it.pop("reset_observation")))
defect("a schema of an unknown type", "HTTP-12", schema=_state_schema(note={"type": "text"}))
defect("a schema elsewhere", "HTTP-12", schema=_state_schema(note={"$ref": "https://example.org/note.json"}))
defect("a reference to nothing", "HTTP-12", schema=_state_schema(note={"$ref": "#/$defs/Note"}))
defect("the frame in place of the observation", "HTTP-13", schema=_schema(_nested))
defect("done is not described", "HTTP-13", schema=_schema(_no_done))
defect("a number as info.version", "HTTP-14", "HTTP-15", openapi=_openapi(lambda it: it["info"].update(version=1)))
defect("its own info.version", "HTTP-15", openapi=_openapi(lambda it: it["info"].update(version="0.10.0")))
defect("/state is not listed", "HTTP-16", openapi=_openapi(lambda it: it["paths"].pop("/state")))
defect(
    "/step is listed in production", "HTTP-16", base=Production,
    openapi=_openapi(lambda it: it["paths"].update({"/step": {}})),
)
defect("422 is described as a text", "HTTP-17", openapi=_described("/step", "post", "422", DETAIL))
defect("422 is not described", "HTTP-17", openapi=_described("/reset", "post", "422", None))
defect("the health is described as a text", "HTTP-17", openapi=_described("/health", "get", "200", {"type": "string"}))
defect("a description that is none", "HTTP-17", openapi=_described("/state", "get", "200", NOTHING))
defect("metadata waits for a step", "HTTP-18", inputs=SLOW, on_step=_counted_step, metadata=_waits("metadata"))
defect("schemas wait for a step", "HTTP-18", inputs=SLOW, on_step=_counted_step, schema=_waits("schema"))
defect("metadata after a second", "HTTP-18", metadata=_late_metadata)
