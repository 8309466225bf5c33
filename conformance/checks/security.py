"""Section 14 of the specification: where a server listens, which Origins and tokens it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.checks import check
from conformance.evidence import Exchange, Headers, Socket
from conformance.scenarios.security import REBINDING
from conformance.view import Broken, Missing, NotApplicable, Untested, View, expect

PLACES = 6
"""Conversations that are shown where all is well."""


@check("SEC-1")
def loopback(view: View) -> None:
    elsewhere = view.fact("elsewhere")
    if elsewhere is None:
        raise NotApplicable(f"{view.evidence.url} is no loopback address: the operator named it")
    reached = [address for address, accepted in elsewhere.items() if accepted]
    expect(not reached, f"the server was reached on loopback and listens on {' and '.join(reached)} too")


@check("SEC-2")
def foreign_handshakes(view: View) -> None:
    _refused(view, [it for it in _started(view, Socket, "security.origin.") if _judged(view, it)], 403)


@check("SEC-3")
def no_origin(view: View) -> None:
    view.ask("security.plain", "state").expect_type("state")
    for exchange in [view.exchange("http.health"), *_posts(view)]:
        view.look(exchange.name)
        expect(exchange.status != 403, f"{_what(exchange)} without Origin is answered 403")


@check("SEC-4")
def foreign_posts(view: View) -> None:
    routes = [it.name for it in _posts(view) if it.status not in (404, 405)]
    if not routes:
        raise NotApplicable("the server has no route for POST")
    _refused(
        view,
        [
            it
            for route in routes
            for it in _started(view, Exchange, f"{route}.")
            if not it.name.endswith(".own") and _judged(view, it)
        ],
        403,
    )


@check("SEC-5")
def token(view: View) -> str:
    return "a token is required" if _requires_token(view) else "no token is required"


@check("SEC-6")
def without_the_token(view: View) -> None:
    _only_with_token(view)
    knocks = [it for it in _started(view, Exchange, "security.token.") if not it.name.endswith(".health")]
    # What is not there is not there for anybody.
    asked: list[Exchange | Socket] = [it for it in knocks if it.status != 404]
    asked += _started(view, Socket, "security.token.")
    _refused(view, asked, 401)
    for it in asked:
        challenge = it.header("WWW-Authenticate") or ""
        if challenge.partition(" ")[0].lower() != "bearer":
            _show(view, [it])
            raise Broken(f"{_what(it)} is answered 401 with WWW-Authenticate {challenge!r}, expected Bearer")


@check("SEC-7")
def health_without_token(view: View) -> None:
    _only_with_token(view)
    for it in _started(view, Exchange, "security.token."):
        if it.name.endswith(".health"):
            view.look(it.name)
            expect(it.status == 200, f"{_what(it)} without the right token is answered {_status(it)}, expected 200")


@check("SEC-8")
def token_in_the_url(view: View) -> None:
    _only_with_token(view)
    if not view.fact("token"):
        raise Untested("a token is required and the run was given none: --token TOKEN")
    places = "security.url."
    asked: list[Exchange | Socket] = [*_started(view, Exchange, places), *_started(view, Socket, places)]
    _refused(view, asked, 401, 400, 403)  # which of them is the matter of SEC-6


@check("SEC-14")
def own_origin(view: View) -> None:
    view.ask("security.own", "state").expect_type("state")
    for plain in _posts(view):
        if plain.status not in (404, 405):
            own = view.exchange(f"{plain.name}.own")
            expect(own.status == plain.status, f"{_what(own)} is answered {_status(own)}, without it {plain.status}")


# What was asked


def _started[T: (Socket, Exchange)](view: View, kind: type[T], start: str) -> list[T]:
    """The conversations of a kind whose names begin so. Raises `Missing` where there is none."""
    found = [it for name, it in view.evidence.conversations.items() if name.startswith(start) and isinstance(it, kind)]
    if not found:
        raise Missing(f"nothing was recorded as `{start}...`: {view.fact('stopped') or 'the run did not get there'}")
    return found


def _posts(view: View) -> Iterator[Exchange]:
    """The POSTs without Origin, one for each route that was tried."""
    for it in _started(view, Exchange, "security.post."):
        if _header(it.request, "Origin") is None:
            yield view.exchange(it.name)


def _judged(view: View, it: Socket | Exchange) -> bool:
    """Whether its Origin is foreign for certain: an equal `Host` is, where the server is bound to loopback alone."""
    elsewhere = view.fact("elsewhere")
    alone = elsewhere is not None and not any(elsewhere.values())
    return alone or not it.name.endswith(f".{REBINDING}")


def _refused(view: View, asked: Sequence[Socket | Exchange], status: int, *others: int) -> None:
    """Raise `Broken` where one of these was not refused with a status, or one of the others that will do."""
    guilty = [it for it in asked if it.status not in (status, *others)]
    _show(view, guilty or asked[:PLACES])
    if not asked:
        raise Missing("nothing of it was asked")
    if guilty:
        what = f"{_what(guilty[0])} is answered {_status(guilty[0])}, expected {status}"
        raise Broken(f"{what} ({len(guilty)} of {len(asked)})")


def _show(view: View, places: Sequence[Socket | Exchange]) -> None:
    view.trail.clear()
    for it in places:
        view.look(it.name)


def _requires_token(view: View) -> bool:
    """Whether the server requires a token: it says so to whom has none, or the run was given one."""
    return bool(view.fact("token")) or view.exchange("security.token.none.schema").status == 401


def _only_with_token(view: View) -> None:
    if not _requires_token(view):
        raise NotApplicable("the server requires no token")


# Words


def _what(it: Socket | Exchange) -> str:
    """A request, with its Origin where it has one; a token in a URL is not shown."""
    origin, host = _header(it.request, "Origin"), _header(it.request, "Host")
    method = f"the handshake at {it.path}" if isinstance(it, Socket) else f"{it.method} {it.path}"
    path, _, query = method.partition("?")
    shown = f"{path}?{query.partition('=')[0]}=..." if query else path
    rebinding = f" and Host {host}" if it.name.endswith(f".{REBINDING}") else ""
    return f"{shown} with Origin {origin}{rebinding}" if origin else shown


def _status(it: Socket | Exchange) -> str:
    return str(it.status) if it.status else f"not at all ({it.error})"


def _header(headers: Headers, name: str) -> str | None:
    return next((value for key, value in headers if key.lower() == name.lower()), None)
