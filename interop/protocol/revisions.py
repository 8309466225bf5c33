"""The revisions of the protocol. None is negotiated or named on the wire: they differ by what a server shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of the official wire.

    Attributes:
        name: Our name for it, `P0` to `P7`; names sort by age.
        packages: The official releases that speak it.
        adds: What it brought to the wire.
        sign: How to tell it from the one before.
    """

    name: str
    packages: tuple[str, ...]
    adds: str
    sign: str


REVISIONS = (
    Revision(
        "P0",
        ("openenv-core 0.1.0", "0.1.1"),
        "HTTP alone, one environment for all clients",
        "no /schema and no /ws",
    ),
    Revision(
        "P1",
        ("0.2.0",),
        "WS /ws with reset, step, state, close and error codes; HTTP becomes stateless; /schema, /metadata",
        'an mcp frame is answered "UNKNOWN_TYPE"',
    ),
    Revision("P2", ("0.2.1",), "mcp frames on /ws", "no POST /mcp"),
    Revision(
        "P3",
        ("0.2.2", "0.2.3", "0.3.0", "0.3.1"),
        "POST /mcp, WS /mcp, openenv/session/create and close, MCP actions in step",
        "no GET /list_environments; observations have no metadata",
    ),
    Revision(
        "P4",
        ("0.4.0", "0.4.1", "0.4.2"),
        "metadata, nested in the observation and beside it; the Task API (0.4.1)",
        "metadata in the observation",
    ),
    Revision(
        "P5",
        ("0.5.0", "0.6.0"),
        "/ws?session_id= attaches; the fields of state_cls in /state and /schema",
        'an unknown session_id on /ws is answered "SESSION_ERROR"',
    ),
    Revision("P6", ("0.7.0",), "OPENENV_MODE, WS /harness", "none over HTTP in simulation mode"),
    Revision("P7", ("0.8.0", "0.9.0", "0.10.0"), "reset_observation in /schema", "reset_observation in /schema"),
)


def revision_of(schema: Mapping[str, Any] | None, openapi: Mapping[str, Any] | None) -> Revision:
    """The newest revision that a server's documents prove.

    Args:
        schema: The body of `GET /schema`, None where there is none.
        openapi: The body of `GET /openapi.json`, None where there is none.
    """
    by_name = {revision.name: revision for revision in REVISIONS}
    paths = (openapi or {}).get("paths", {})
    if schema is None:
        return by_name["P0"]
    if "reset_observation" in schema:
        return by_name["P7"]
    if "/list_environments" in paths:
        # P5 and P6 look alike over HTTP.
        return by_name["P4"]
    return by_name["P3" if "/mcp" in paths else "P1"]
