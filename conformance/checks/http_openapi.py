"""The OpenAPI document of section 8.2, and what is sent compared with it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import UnknownType, best_match
from referencing.exceptions import Unresolvable

from conformance.actions import resolve
from conformance.checks import check
from conformance.checks.http import STATELESS, is_served, media_type
from conformance.evidence import Exchange
from conformance.recorder import parsed
from conformance.view import Broken, NotApplicable, View, expect, short


@check("HTTP-14")
def openapi(view: View) -> None:
    body = view.body("http.openapi")
    expect(isinstance(body, dict), f"GET /openapi.json is no object: {short(body)}")
    info = body.get("info")
    version = info.get("version") if isinstance(info, dict) else None
    expect(isinstance(version, str), f"`info.version` of /openapi.json is no string: {short(info)}")


@check("HTTP-15")
def openapi_version(view: View) -> None:
    version = view.body("http.openapi")["info"]["version"]
    expect(version == "1.0.0", f"`info.version` of /openapi.json is {version!r}, not '1.0.0'")


@check("HTTP-16")
def listed_as_served(view: View) -> None:
    paths = view.body("http.openapi").get("paths")
    expect(isinstance(paths, dict), f"`paths` of /openapi.json is no object: {short(paths)}")
    for path in STATELESS:
        served = is_served(view, path)
        expect(
            served == (path in paths),
            f"{path} is {'served' if served else 'not served'}, and {'' if path in paths else 'not '}in /openapi.json",
        )


@check("HTTP-17")
def described_as_sent(view: View) -> str:
    document = view.body("http.openapi")
    version = document.get("openapi")
    if not isinstance(version, str) or version.startswith("3.0"):
        raise NotApplicable(f"/openapi.json is of OpenAPI {version}, whose schemas are not JSON Schema draft 2020-12")
    count = 0
    for exchange in view.evidence.exchanges():
        operation = _operation(document, exchange, view.evidence.url)
        if operation is not None and parsed(exchange.body) is not None and media_type(exchange) == "application/json":
            wrong = _difference(document, operation, exchange)
            if wrong:
                view.look(exchange.name)
                raise Broken(wrong)
            count += 1
    return f"{count} bodies are as described"


def _operation(document: dict[str, Any], exchange: Exchange, url: str) -> dict[str, Any] | None:
    """What describes a request, if anything does; a path without variables goes first."""
    path = exchange.path.removeprefix(urlsplit(url).path).partition("?")[0]
    for template in sorted(document.get("paths", {}), key=lambda it: it.count("{")):
        if re.fullmatch("[^/]+".join(re.escape(part) for part in re.split(r"\{[^}]*\}", template)), path):
            operation = document["paths"][template].get(exchange.method.lower())
            return operation if isinstance(operation, dict) else None
    return None


def _difference(document: dict[str, Any], operation: dict[str, Any], exchange: Exchange) -> str | None:
    """How a body differs from its description, if it does."""
    responses, status = operation.get("responses", {}), exchange.status
    described = next(
        (responses[key] for key in (str(status), f"{status // 100}XX", "default") if key in responses), None
    )
    # What stands in front of the routes (401, 403) and what says that there is nothing (404, 501) may go without.
    if described is None and status != 422 and status >= 300:
        return None
    schema = resolve(described or {}, document).get("content", {}).get("application/json", {}).get("schema")
    what, body = f"the body of {exchange.method} {exchange.path} with status {status}", exchange.json
    if not isinstance(schema, (dict, bool)):
        return f"/openapi.json has no schema for {what}: {short(body)}"
    rooted = {"allOf": [schema], "components": document.get("components", {})}  # where references lead to
    try:
        error = best_match(Draft202012Validator(rooted).iter_errors(body))
    except (SchemaError, UnknownType, Unresolvable) as exc:
        return f"the schema of /openapi.json for {what} makes no sense: {short(str(exc))}"
    return f"{what} is not as /openapi.json describes it: {error.json_path}: {short(error.message)}" if error else None
