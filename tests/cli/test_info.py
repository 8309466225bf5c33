"""`interop info`."""

from __future__ import annotations

import http.server
import json
import threading
from typing import Any

import pytest

import interop
from interop.cli import main
from interop.cli.schemas import short
from tests.environments import Misbehaving, source

COUNTER = {
    "name": "Counter",
    "action": {"type": "object", "properties": {"amount": {"type": "integer", "minimum": 0, "maximum": 3}}},
    "observation": {"type": "object", "properties": {"count": {"type": "integer"}}},
}


class Numbers(interop.Tasks):
    """Two splits of numbers."""

    def splits(self) -> list[Any]:
        return ["train", "test"]

    def tasks(self, split: str) -> list[Any]:
        return [{"id": number} for number in range(self.num_tasks(split))]

    def num_tasks(self, split: str) -> int:
        return {"train": 5, "test": 2}[split]

    def task(self, split: str, index: int) -> Any:
        return self.tasks(split)[index]

    def task_range(self, split: str, start: int | None, stop: int | None) -> list[Any]:
        return self.tasks(split)[start:stop]


class WithTasks(interop.Source):
    """A source with a Task API and no Gymnasium spaces."""

    def describe(self) -> interop.Description:
        return source(**COUNTER).describe()

    def create(self) -> interop.Environment:
        return Misbehaving()

    def tasks(self) -> interop.Tasks:
        return Numbers()


def asked(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """The document of `interop info --json`."""
    assert main(["info", *arguments, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def test_a_source_and_its_server_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """A source is described as its server is, exact spaces included, without opening a port."""
    local = asked(capsys, "gym:Taxi-v4")
    with interop.serve("gym:Taxi-v4") as server:
        remote = asked(capsys, server.url)
    assert remote["kind"] == "url"
    assert remote["limits"] == {"max_message_bytes": 16777216, "max_sessions": 64}
    for key in ("name", "description", "version", "revision", "doors", "codecs", "spaces", "schemas", "render_modes"):
        assert local[key] == remote[key]
    assert local["spaces"] == {"how": "exact", "action": "Discrete(6)", "observation": "Discrete(500)"}
    assert local["gymnasium"]["action_space"] == remote["gymnasium"]["action_space"]
    assert local["revision"]["name"] == "P7"
    assert (local["tasks"], local["findings"]) == (None, [])


def test_what_is_inferred_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    """Without /gymnasium the spaces come from the schemas and say so; splits are shown with their counts."""
    with interop.serve(WithTasks()) as server:
        document = asked(capsys, server.url)
        assert main(["info", server.url]) == 0
    assert document["spaces"]["how"] == "inferred"
    assert document["doors"] == {
        "/ws": True,
        "HTTP reset/step/state": True,
        "/mcp": True,
        "Task API": True,
        "/gymnasium": False,
    }
    counts = [(task["name"], task["num_tasks"]) for task in document["tasks"]]
    assert counts == [("train", 5), ("test", 2)]
    table = capsys.readouterr().out
    assert "(inferred from the schema)" in table
    assert "{amount: integer 0..3}" in table
    assert "train: 5, test: 2" in table


def test_something_else_that_listens(capsys: pytest.CaptureFixture[str]) -> None:
    """A web server that is no OpenEnv server is exit code 1 with a finding for each thing that it lacks."""

    class Quiet(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        document = asked(capsys, f"http://127.0.0.1:{server.server_port}", code=1)
        server.shutdown()
    assert document["revision"] is None
    findings = "\n".join(document["findings"])
    for text in ('GET /health is not {"status":"healthy"} (HTTP 404)', "GET /schema is HTTP 404", "/ws: "):
        assert text in findings


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, "{a*: string}"),
        ({"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}, "[number] x 4"),
        ({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}, "integer 1.. | null"),
        ({"enum": ["up", 2]}, '"up" | 2'),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"const": 1}}}, "1"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "any"),
        ({"type": "array", "items": {"$ref": "#"}}, "[[[[[[[...]]]]]]]"),
        ({}, "any"),
    ],
)
def test_schemas_in_a_line(schema: dict[str, Any], line: str) -> None:
    """A schema in a line names types, bounds, what is required, and survives references in a ring."""
    assert short(schema) == line
