"""Defects of section 14: addresses, Origins, tokens, session ids, and errors that tell too much."""

from __future__ import annotations

import secrets
import traceback
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from conformance.broken import defect, reply
from conformance.broken.healthy import LOOPBACK, Frame, Healthy, Session, json_response
from conformance.broken.wire import Request, Response

CHALLENGE = {"WWW-Authenticate": "Bearer", "Content-Type": "application/json"}


class Guarded(Healthy):
    """The server with a token."""

    token = "Uv8qQ3-not.Guessed_7"


def _without_origin(*, when: Callable[[Request], bool]) -> Any:
    """A method `guard` that does not look at the Origin of some requests."""

    def guard(self: Healthy, request: Request) -> Response | None:
        if when(request):
            headers = {key: value for key, value in request.headers.items() if key != "origin"}
            request = Request(request.method, request.target, headers, request.body)
        return Healthy.guard(self, request)

    return guard


def _is_handshake(request: Request) -> bool:
    return "upgrade" in request.headers


def _answers(change: Callable[[Request, Response], Response], status: int = 403) -> Any:
    """A method `guard` that answers otherwise those whom it refuses with a status."""

    def guard(self: Healthy, request: Request) -> Response | None:
        refused = Healthy.guard(self, request)
        return change(request, refused) if refused is not None and refused.status == status else refused

    return guard


def _own(is_own: Callable[[str, str], bool]) -> Any:
    """A method `is_own`."""
    return lambda self, origin, host: is_own(origin, host) or Healthy.is_own(self, origin, host)


def _demands_origin(self: Healthy, request: Request) -> Response | None:
    if request.method == "POST" and "origin" not in request.headers:
        return json_response(403, {"detail": "Origin is needed"})
    return Healthy.guard(self, request)


def _refuses_own_posts(self: Healthy, request: Request) -> Response | None:
    if request.method == "POST" and "origin" in request.headers:
        return json_response(403, {"detail": "not for web pages"})
    return Healthy.guard(self, request)


def _token(accepts: Callable[[str, Request, str], object]) -> Any:
    """A method `authorized` that accepts more: `accepts(what was sent, the request, the right token)`."""

    def authorized(self: Healthy, request: Request) -> bool:
        sent = request.headers.get("authorization", "")
        return Healthy.authorized(self, request) or bool(accepts(sent, request, str(self.token)))

    return authorized


def _guards_health(self: Healthy, request: Request) -> Response | None:
    if request.path == "/health" and not self.authorized(request):
        return Response(401, b"{}", CHALLENGE)
    return Healthy.guard(self, request)


def _guards_health_from_wrong_tokens(self: Healthy, request: Request) -> Response | None:
    return _guards_health(self, request) if "authorization" in request.headers else Healthy.guard(self, request)


def _ids(new: Callable[[int], str]) -> Any:
    """A method `start` whose session ids are made from the number of the session."""

    def start(self: Healthy) -> Session:
        session = Healthy.start(self)
        with self.lock:
            del self.sessions[session.id]
            self.said.append(session.id)
            session.id = new(len(self.said))
            self.sessions[session.id] = session
        return session

    return start


def _path(request: Any, frame: Frame) -> Frame | None:
    if frame["data"].get("code") != "INVALID_JSON":
        return None
    message = f"{frame['data']['message']} (/usr/lib/python3.12/json/decoder.py)"
    return {**frame, "data": {**frame["data"], "message": message}}


def _traceback(request: Any, frame: Frame) -> Frame | None:
    if frame["data"].get("code") != "EXECUTION_ERROR":
        return None
    try:
        raise RuntimeError(frame["data"]["message"])
    except RuntimeError:
        return {**frame, "data": {**frame["data"], "message": traceback.format_exc()}}


def _trace_in_rpc(request: Any, frame: Frame) -> Frame | None:
    if frame["type"] != "mcp" or "error" not in frame["data"]:
        return None
    trace = "TypeError: no such tool\n    at call (/srv/env/dist/server.js:41:9)"
    return {**frame, "data": {**frame["data"], "error": {**frame["data"]["error"], "data": {"stack": trace}}}}


def _debug_page(self: Healthy, request: Request, response: Response) -> Response:
    if response.status != 404 or request.path.isascii():
        return response
    page = b'<html><pre>  File "/site-packages/router.py", line 88, in decode</pre></html>'
    return Response(404, page, {"Content-Type": "text/html"})


def _file_in_context(self: Healthy, request: Request, response: Response) -> Response:
    if response.status == 422:
        body = response.body.replace(b'"input":', b'"ctx":{"file":"/opt/envs/counter/models.py"},"input":', 1)
        return Response(422, body, response.headers)
    return response


defect("listens on every address", "SEC-1", also=("127.0.0.2",))

defect("handshakes from any page", "SEC-2", guard=_without_origin(when=_is_handshake))
defect(
    "404 for foreign handshakes",
    "SEC-2",
    guard=_answers(lambda request, refused: Response(404) if _is_handshake(request) else refused),
)
defect("the Origin null is nobody's", "SEC-2", "SEC-4", is_own=_own(lambda origin, host: origin == "null"))
defect(
    "any page that names the host it asks",
    "SEC-2",
    "SEC-4",
    is_own=_own(lambda origin, host: origin == f"http://{host}"),
)
defect("pages of any port", "SEC-2", "SEC-4", is_own=_own(lambda origin, host: urlsplit(origin).hostname in LOOPBACK))
defect(
    "pages whose name begins like its own", "SEC-2", "SEC-4",
    is_own=_own(lambda origin, host: origin.startswith(f"http://{host.partition(':')[0]}.")),
)  # fmt: skip
defect("POSTs need an Origin", "SEC-3", without="http", guard=_demands_origin)
defect("POSTs from any page", "SEC-4", guard=_without_origin(when=lambda request: request.method == "POST"))
defect(
    "400 for foreign POSTs",
    "SEC-4",
    guard=_answers(lambda request, refused: refused if _is_handshake(request) else Response(400)),
)
defect(
    "simple POSTs from any page", "SEC-4",
    guard=_without_origin(when=lambda request: request.headers.get("content-type") == "text/plain"),
)  # fmt: skip
defect("steps from any page", "SEC-4", guard=_without_origin(when=lambda request: request.path == "/step"))
defect("no Origin is its own", "SEC-14", is_own=lambda self, origin, host: False)
defect("POSTs from no page", "SEC-14", guard=_refuses_own_posts)

defect("403 without the token", "SEC-6", base=Guarded, guard=_answers(lambda request, refused: Response(403), 401))
defect("no challenge", "SEC-6", base=Guarded, guard=_answers(lambda request, refused: Response(401), 401))
defect(
    "a challenge of another scheme", "SEC-6", base=Guarded,
    guard=_answers(lambda request, refused: Response(401, headers={"WWW-Authenticate": 'Basic realm="counter"'}), 401),
)  # fmt: skip
defect(
    "handshakes without the token", "SEC-6", "SEC-8", base=Guarded,
    authorized=_token(lambda sent, request, token: _is_handshake(request)),
)  # fmt: skip
defect(
    "the description needs no token", "SEC-6", base=Guarded,
    authorized=_token(lambda sent, request, token: request.path == "/openapi.json"),
)  # fmt: skip
defect(
    "tokens that begin like the right one", "SEC-6", base=Guarded,
    authorized=_token(lambda sent, request, token: len(sent) > 8 and f"Bearer {token}".startswith(sent)),
)  # fmt: skip
defect(
    "tokens that go on after the right one", "SEC-6", base=Guarded,
    authorized=_token(lambda sent, request, token: sent.startswith(f"Bearer {token}")),
)  # fmt: skip
defect(
    "tokens without regard to case", "SEC-6", base=Guarded,
    authorized=_token(lambda sent, request, token: sent.lower() == f"bearer {token}".lower()),
)  # fmt: skip
defect(
    "a token of any scheme", "SEC-6", base=Guarded,
    authorized=_token(lambda sent, request, token: sent.split(" ")[-1] == token),
)  # fmt: skip
defect("health needs the token", "SEC-7", base=Guarded, guard=_guards_health)
defect("health refuses wrong tokens", "SEC-7", base=Guarded, guard=_guards_health_from_wrong_tokens)
defect(
    "the token in the URL", "SEC-8", base=Guarded,
    authorized=_token(lambda sent, request, token: request.query.get("token") == token),
)  # fmt: skip
defect(
    "the token in the URL of handshakes", "SEC-8", base=Guarded,
    authorized=_token(lambda sent, request, token: _is_handshake(request) and token in request.query.values()),
)  # fmt: skip

defect("session ids are numbers", "SEC-11", start=_ids(lambda number: f"session-{number:032}"))
defect("session ids are of the clock", "SEC-11", start=_ids(lambda number: str(uuid.uuid1(node=0x0242AC110002))))
defect("session ids are short", "SEC-11", start=_ids(lambda number: secrets.token_hex(8)))
defect("session ids begin alike", "SEC-11", start=_ids(lambda number: f"a1b2c3d4-{str(uuid.uuid4())[9:]}"))

defect("a path in an error", "SEC-12", alter_reply=reply(_path))
defect("a traceback in an error", "SEC-12", alter_reply=reply(_traceback))
defect("a stack in a JSON-RPC error", "SEC-12", alter_reply=reply(_trace_in_rpc))
defect("a debug page", "SEC-12", alter_response=_debug_page)
defect("a path in an entry of a 422", "SEC-12", alter_response=_file_in_context)
