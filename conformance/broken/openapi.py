"""The OpenAPI document of the tiny server: the bodies that it sends, by path, method and status."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]

OBJECT: Schema = {"type": "object"}
ARRAY: Schema = {"type": "array"}
COMPONENTS: dict[str, Schema] = {
    "Detail": {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]},
    "Errors": {
        "type": "object",
        "properties": {"detail": {"type": "array", "items": {"$ref": "#/components/schemas/Entry"}}},
        "required": ["detail"],
    },
    "Entry": OBJECT,
    "Result": {"type": "object", "properties": {"observation": OBJECT}, "required": ["observation"]},
}
DETAIL, ERRORS, RESULT = ({"$ref": f"#/components/schemas/{name}"} for name in ("Detail", "Errors", "Result"))
TASK_ERRORS = {400: DETAIL, 404: DETAIL, 422: ERRORS, 501: DETAIL}
BODIES: dict[str, dict[int, Schema]] = {
    "/list_environments": {200: ARRAY},
    "/reset": {200: RESULT, 422: ERRORS},
    "/step": {200: RESULT, 422: ERRORS},
    "/{env_name}/splits": {200: ARRAY, **TASK_ERRORS},
}
"""Bodies by path and status; an object with 200 on all other paths."""


def document(routes: Iterable[tuple[str, str]]) -> Schema:
    """The document of a server that has these paths with these methods."""
    paths: dict[str, Schema] = {}
    for path, method in routes:
        paths.setdefault(path, {})[method.lower()] = {"responses": _responses(path)}
    info = {"title": "Counter", "version": "1.0.0"}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": COMPONENTS}}


def _responses(path: str) -> Schema:
    bodies = BODIES.get(path) or {200: OBJECT, **(TASK_ERRORS if "{" in path else {})}
    return {
        str(status): {"description": "", "content": {"application/json": {"schema": schema}}}
        for status, schema in bodies.items()
    }
