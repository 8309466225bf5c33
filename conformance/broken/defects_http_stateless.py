"""Defects of section 8.3: reset, step and state without a session."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from conformance.broken import defect
from conformance.broken.defects_http import FAILURE, TEXT, Change, answer, instead, routes
from conformance.broken.healthy import Frame, Healthy, Invalid, ResetBody, StepBody, entry, flat, json_response
from conformance.broken.wire import Request, Response

AS_JSON = json_response(500, {"detail": "Internal Server Error"})
TOO_FAR = json_response(400, {"detail": "too far"})


def _results(path: str, change: Change) -> Any:
    """Results of a route, changed in place."""

    def alter(self: Healthy, request: Request, response: Response) -> Response | None:
        if request.path != path or response.status != 200:
            return None
        document = json.loads(response.body)
        change(document)
        return json_response(200, document)

    return answer(alter)


def _entries(change: Change) -> Any:
    """Other entries in the 422 of resets and steps, each changed in place."""

    def alter(self: Healthy, request: Request, response: Response) -> Response | None:
        if response.status != 422 or request.path not in ("/reset", "/step"):
            return None
        document = json.loads(response.body)
        for it in document["detail"]:
            change(it)
        return json_response(422, document)

    return answer(alter)


def _relocated(old: list[str], new: list[str]) -> Any:
    """A `loc` in place of another."""
    return _entries(lambda it: it.update(loc=new if it["loc"] == old else it["loc"]))


def _absolute(it: Frame) -> None:
    if it["loc"][:1] != ["body"]:
        it["loc"] = ["body", "action", *it["loc"]]


def _by_title(it: Frame) -> None:
    if it["loc"][:1] != ["body"]:
        it["loc"] = ["Action"]


def _textual(it: Frame) -> None:
    it["loc"] = ".".join(map(str, it["loc"]))


def _kept(self: Any) -> Any:
    """One environment for all stateless requests."""
    self.kept = getattr(self, "kept", None) or self.build()
    return self.kept


def _step_kept(self: Healthy, request: Request) -> Response:
    body = self.validated_body(StepBody, request)
    return json_response(200, flat(_kept(self).step(self.action(body["action"]))))


def _reset_kept(self: Healthy, request: Request) -> Response:
    body = self.validated_body(ResetBody, request, empty=True)
    arguments = {key: value for key, value in body.items() if key in ("seed", "episode_id")}
    return json_response(200, flat(_kept(self).reset(**arguments)))


def _state_kept(self: Healthy, routes: Frame) -> None:
    routes["/state"] = {"GET": lambda request: json_response(200, _kept(self).state)}


def _counting_step(self: Healthy, request: Request) -> Response:
    self.said.append("step")
    return Healthy.post_step(self, request)


def _counting_state(self: Healthy, routes: Frame) -> None:
    def state(request: Request) -> Response:
        return json_response(200, {**self.build().state, "step_count": self.said.count("step")})

    routes["/state"] = {"GET": state}


def _bad_request(self: Healthy, request: Request) -> Response:
    try:
        json.loads(request.body or b"{}")
    except ValueError:
        return json_response(400, {"detail": "There was an error parsing the body"})
    return Healthy.post_reset(self, request)


def _reset_needs_a_body(self: Healthy, request: Request) -> Response:
    if not request.body:
        raise Invalid([entry("missing", ["body"], "Field required", None)])
    return Healthy.post_reset(self, request)


def _lenient_reset(taken: Callable[[Any], bool]) -> Any:
    """A method `post_reset` that takes some bodies like `{}`."""

    def post_reset(self: Healthy, request: Request) -> Response:
        try:
            empty = taken(json.loads(request.body))
        except ValueError:
            empty = False
        return Healthy.post_reset(self, Request("POST", "/reset", {}, b"{}") if empty else request)

    return post_reset


def _lenient_step(self: Healthy, request: Request) -> Response:
    body = self.validated_body(StepBody, request)
    known = {key: value for key, value in body["action"].items() if key in self.action_model.model_fields}
    return json_response(200, flat(self.build().step(self.action(known))))


def _step_fails(op: str, response: Response) -> Any:
    """A method `post_step` that answers an `op` so."""

    def post_step(self: Healthy, request: Request) -> Response:
        return response if f'"{op}"'.encode() in request.body else Healthy.post_step(self, request)

    return post_step


def _reset_uses_names(self: Healthy, request: Request) -> Response:
    def call(func: Any, session_id: Any = None, **arguments: Any) -> Frame:
        result: Frame = func(**arguments)
        return result

    body = self.validated_body(ResetBody, request, empty=True)
    return json_response(200, flat(call(self.build().reset, **body)))


# fmt: off
defect("steps of one environment", "HTTP-19", post_step=_step_kept)
defect("resets and steps of one environment", "HTTP-19", post_step=_step_kept, post_reset=_reset_kept)
defect("resets are seen in /state", "HTTP-19", post_reset=_reset_kept, routes=routes(Healthy, _state_kept))
defect("steps are seen in /state", "HTTP-19", post_step=_counting_step, routes=routes(Healthy, _counting_state))
defect("a reset needs a body", "HTTP-20", post_reset=_reset_needs_a_body)
defect("no reward", "HTTP-21", alter_response=_results("/reset", lambda it: it.pop("reward")))
defect("done as a text", "HTTP-21", alter_response=_results("/step", lambda it: it.update(done="false")))
defect("no metadata beside the observation", "HTTP-22", alter_response=_results("/step", lambda it: it.pop("metadata")))
defect("a list as metadata", "HTTP-22", alter_response=_results("/reset", lambda it: it.update(metadata=[])))
defect("400 where there is no JSON", "HTTP-23", post_reset=_bad_request)
defect("an array is an empty body", "HTTP-23", post_reset=_lenient_reset(lambda body: body == []))
defect("entries without an input", "HTTP-23", alter_response=_entries(lambda it: it.pop("input")))
defect("entries whose loc is a text", "HTTP-23", "HTTP-24", "HTTP-25", "HTTP-26", alter_response=_entries(_textual))
defect("a missing action is a missing body", "HTTP-24", alter_response=_relocated(["body", "action"], ["body"]))
defect("the loc of an action begins with the body", "HTTP-25", alter_response=_entries(_absolute))
defect("the loc of an action is that of its type", "HTTP-25", alter_response=_entries(_by_title))
defect("unknown keys of an action are dropped", "HTTP-25", post_step=_lenient_step)
defect("a negative seed is taken", "HTTP-26", post_reset=_lenient_reset(lambda body: body == {"seed": -1}))
defect("a negative seed without its place", "HTTP-26", alter_response=_relocated(["body", "seed"], ["seed"]))
defect("500 for a rejected action", "HTTP-27", post_step=_step_fails("reject", FAILURE))
defect("400 where the environment raises", "HTTP-28", post_step=_step_fails("raise", TOO_FAR))
defect("the cause of a failure", "HTTP-29", alter_response=instead(500, "/step", Response(500, b"too far", TEXT)))
defect("a failure as JSON", "HTTP-29", alter_response=instead(500, "/step", AS_JSON))
defect("/state lacks a field", "HTTP-30", alter_response=_results("/state", lambda it: it.pop("value")))
defect("reset arguments collide", "HTTP-31", post_reset=_reset_uses_names)
