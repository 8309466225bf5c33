"""A report says the same in every form, and nothing that a server sends gets out of its place in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from conformance.evidence import Evidence
from conformance.excerpt import MAX_TEXT, readable
from conformance.redact import HIDDEN
from conformance.render import badge, html, junit
from conformance.render.template import escape
from conformance.report import Report, count
from conformance.runner import Outcome, judge
from conformance.text import plain, visible
from conformance.view import Place
from tests.conformance.reports import ATTACK, hostile_report, report, result, small_evidence

SCHEMA = json.loads(files("conformance").joinpath("schemas", "report-1.json").read_text())
MIXED = (
    result("WS-1", "pass", "", Place("session")),
    result("WS-14", "fail", "closed with 1008", Place("session", 6), Place("health")),
    result("WS-6", "warn", "answered 404"),
    result("WS-18", "pass", "declined"),
    result("ERR-1", "fail", "no `code`"),
    result("SES-8", "untested", "no slow action is known"),
    result("HTTP-2", "not_applicable", "simulation mode"),
)


class Page(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def having(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


# The verdict


@pytest.mark.parametrize(
    ("outcomes", "expected", "certified", "ok", "unexpected", "stale"),
    [
        ({"WS-1": "pass"}, [], True, True, [], []),
        ({"WS-1": "pass", "WS-6": "warn"}, [], True, True, [], []),
        ({"WS-1": "pass", "WS-6": "warn"}, ["WS-6"], True, True, [], []),
        ({"WS-1": "pass", "WS-2": "untested"}, [], True, True, [], []),
        ({"WS-1": "pass", "WS-2": "fail"}, [], False, False, ["WS-2"], []),
        ({"WS-1": "pass", "WS-2": "fail"}, ["WS-2"], False, True, [], []),
        ({"WS-2": "fail"}, ["WS-2"], False, True, [], []),
        ({"WS-1": "fail", "WS-2": "fail"}, ["WS-2"], False, False, ["WS-1"], []),
        ({"WS-1": "pass", "WS-2": "fail"}, ["WS-2", "WS-1"], False, False, [], ["WS-1"]),
        ({"WS-1": "pass"}, ["WS-1"], True, False, [], ["WS-1"]),
        ({"WS-1": "pass"}, ["NO-1"], True, False, [], ["NO-1"]),
        ({"WS-1": "pass", "WS-2": "untested"}, ["WS-2"], True, False, [], ["WS-2"]),
        ({"WS-1": "not_applicable"}, [], False, False, [], []),
        ({}, [], False, False, [], []),
    ],
)
def test_the_verdict_heeds_what_was_expected(
    outcomes: Mapping[str, Outcome],
    expected: list[str],
    certified: bool,
    ok: bool,
    unexpected: list[str],
    stale: list[str],
) -> None:
    """Failures deny the certificate; expected ones do not make a run red, expected ones that are gone do."""
    it = report(*(result(id, outcome) for id, outcome in outcomes.items()), expected=dict.fromkeys(expected, "known"))
    assert (it.certified, it.ok) == (certified, ok)
    assert [found.requirement.id for found in it.unexpected] == unexpected
    assert it.stale == stale
    failures = ElementTree.fromstring(junit.document(it)).findall(".//failure")
    assert len(failures) == len(unexpected) + len(stale)


def test_a_server_that_never_answered_is_not_certified() -> None:
    """Whatever its requirements say, a run that reached nothing certifies nothing."""
    it = report(result("WS-1", "pass"), evidence=Evidence("http://127.0.0.1:8000"))
    assert not it.certified
    assert "The server was not reached." in html.document(it)


def test_findings_are_failures_then_warnings() -> None:
    """Within each, the order is the specification's; areas keep theirs, and those without results are left out."""
    it = report(*MIXED)
    assert [found.requirement.id for found in it.findings] == ["WS-14", "ERR-1", "WS-6"]
    assert list(it.by_area()) == ["transport", "errors", "sessions", "http"]
    assert it.counts == {"pass": 2, "fail": 2, "warn": 1, "not_applicable": 1, "untested": 1}


# Its forms


@pytest.mark.parametrize("it", [report(*MIXED), report(), report(*MIXED, expected={"ERR-1": "known", "NO-1": "gone"})])
def test_the_document_is_what_the_schema_says(it: Report) -> None:
    """Whatever was found, programs read one form."""
    Draft202012Validator.check_schema(SCHEMA)
    document = json.loads(json.dumps(it.document(), allow_nan=False))
    Draft202012Validator(SCHEMA).validate(document)
    assert document["format"] == "openenv-certificate/1"
    assert [row["id"] for row in document["results"]] == [found.requirement.id for found in it.results]
    assert document["counts"] == count(it.results)
    assert "private" not in document["facts"]["inputs"]


def test_the_forms_agree(tmp_path: Path) -> None:
    """All files are written, JUnit and the page count what the document counts, and the evidence is judged the same."""
    it = report(*MIXED, expected={"ERR-1": "known"})
    paths = it.write(tmp_path / "report")
    assert [path.name for path in paths] == ["report.json", "report.xml", "report.html", "badge.svg", "evidence"]
    document = json.loads(paths[0].read_text())
    suites = ElementTree.parse(paths[1]).getroot()
    assert suites.tag == "testsuites"
    assert int(suites.attrib["tests"]) == len(suites.findall(".//testcase")) == len(document["results"])
    assert int(suites.attrib["failures"]) == len(document["unexpected"]) == 1
    assert int(suites.attrib["skipped"]) == 3  # one failure that is expected, one untested, one that does not apply
    assert [suite.attrib["name"] for suite in suites] == [f"openenv.{area}" for area in document["areas"]]
    page = Page(paths[2].read_text())
    rows = [row for row in page.having("li") if "row" in str(row.get("class")).split()]
    assert [row["data-outcome"] for row in rows] == [row["outcome"] for row in document["results"]]
    assert judge(Evidence.read(paths[4])) == judge(it.evidence)


def test_junit_says_what_a_consumer_shows() -> None:
    """A failure has its message and how to fix it, a warning passes with its text, and a suite says what was judged."""
    suites = ElementTree.fromstring(junit.document(report(*MIXED)))
    cases = {case.attrib["name"].split()[0]: case for case in suites.iter("testcase")}
    failure = cases["WS-14"].find("failure")
    assert failure is not None
    assert failure.attrib == {"message": "closed with 1008", "type": "requirement"}
    assert "recorded: session event 6, health" in str(failure.text)
    assert cases["WS-14"].attrib["classname"] == "openenv.transport"
    assert cases["WS-6"].find("failure") is None
    assert "answered 404" in str(cases["WS-6"].findtext("system-out"))
    properties = {it.attrib["name"]: it.attrib["value"] for it in suites[0].iterfind("properties/property")}
    url = "http://127.0.0.1:8000"
    assert properties == {"target": "./counter", "url": url, "profile": "core", "version": "0.10"}


@pytest.mark.parametrize(("outcome", "words"), [("pass", "certified"), ("fail", "not certified")])
def test_the_badge_says_it_in_words(outcome: Outcome, words: str) -> None:
    """The verdict, the profile and the version are text, and the title is the same for those who do not see it."""
    root = ElementTree.fromstring(badge.document(report(result("WS-1", outcome))))
    space = {"svg": "http://www.w3.org/2000/svg"}
    assert [it.text for it in root.iterfind(".//svg:text", space)] == ["OpenEnv", f"{words} · core 0.10"]
    assert root.findtext("svg:title", None, space) == f"OpenEnv: {words}, profile core, version 0.10"
    assert root.attrib["role"] == "img"


# What it shows of the evidence


def test_an_excerpt_is_the_events_around_those_looked_at() -> None:
    """Neighbours are context, what lies between is counted, and events are told in words."""
    it = report(*MIXED)
    session, health = it.excerpt(it.results[1], before=2)
    assert [(line.side, line.words, line.code, line.marked, line.skipped) for line in session.lines] == [
        ("", "silence for 0.3 s", None, False, 4),
        ("", "nothing came in 4 s", None, False, 0),
        ("S", "close 1009, reason 'too big'", 1009, True, 0),
    ]
    assert (session.title, session.status, session.skipped) == ("GET /ws", 101, 0)
    request, response = health.lines
    assert (request.side, request.head.splitlines()[1]) == ("C", "Host: 127.0.0.1:8000")
    assert response.head == "HTTP/1.1 503 Service Unavailable\nContent-Type: text/plain"
    assert (response.text, response.note) == ("0000  ff fe                    ..", "not UTF-8")


def test_a_conversation_that_was_looked_at_as_such_is_shown_with_its_handshake() -> None:
    """Heads first, then its messages: texts as they are, bytes as digits, long ones cut with a note."""
    (session,) = report(*MIXED).excerpt(MIXED[0])
    opening, answer, state, reply, ping, binary = session.lines[:6]
    assert opening.head.startswith("GET /ws HTTP/1.1\nHost: ")
    assert answer.head == "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket"
    assert (state.text, state.words) == ('{"type":"state"}', "state")
    assert (reply.text, reply.note) == ("é" * (MAX_TEXT // 2), "the first 4,096 of 6,000 bytes")
    assert (ping.opcode, ping.text) == ("ping", "hello")
    assert binary.note == "the first 512 of 1,024 bytes, in 3 frames"
    assert binary.text.splitlines()[8] == "0040  40 41 42 43 44 45 46 47  @ABCDEFG"


@given(st.text().map(str.encode) | st.binary(), st.integers(0, 3))
def test_bytes_are_text_exactly_where_they_are(data: bytes, torn: int) -> None:
    """A text that was cut within a character is still text; anything else that is no UTF-8 is shown as digits."""
    text, note = readable(data[: len(data) - torn], len(data))
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        return
    assert whole.startswith(text)
    assert "UTF-8" not in note
    assert ("bytes" in note) == (len(text.encode()) < len(data))


def test_a_token_is_in_no_file(tmp_path: Path) -> None:
    """Neither the report nor the evidence beside it gives away what the run was let in with."""
    report(result("SEC-8", "fail", "correct horse battery let us in", Place("session"), Place("health"))).write(
        tmp_path
    )
    texts = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert not [path for path, text in texts.items() if "horse" in text]
    assert f"{HIDDEN} let us in" in texts[tmp_path / "report.json"]
    assert "forty-two" not in "".join(texts[tmp_path / f"report.{form}"] for form in ("json", "xml", "html"))
    assert Evidence.read(tmp_path / "evidence").conversations.keys() == small_evidence().conversations.keys()


# What a server sends


def test_nothing_of_a_hostile_server_is_markup(tmp_path: Path) -> None:
    """Every file of a report on it is well-formed, and the page has exactly the elements that are ours."""
    it = hostile_report()
    assert it.counts["fail"] > 20
    for path in it.write(tmp_path):
        if path.is_file():
            path.read_bytes().decode()
    document = json.loads((tmp_path / "report.json").read_text())
    Draft202012Validator(SCHEMA).validate(document)
    assert Evidence.read(tmp_path / "evidence").conversations.keys() == it.evidence.conversations.keys()
    suites = ElementTree.parse(tmp_path / "report.xml").getroot()
    assert int(suites.attrib["tests"]) == len(document["results"])
    ElementTree.parse(tmp_path / "badge.svg")

    page = Page((tmp_path / "report.html").read_text())
    assert len(page.having("script")) == len(page.having("style")) == 1
    assert not page.having("img") + page.having("svg")
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]
    assert ATTACK in page.text
    assert "\\u001b[31m" in page.text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("\ud800", "\\ud800"),
        (float("nan"), "nan"),
        ({1: (b"\x00", [None, True, 2, 2.5])}, {"1": ["b'\\x00'", [None, True, 2, 2.5]]}),
        ("\x00é😀", "\x00é😀"),
    ],
)
def test_a_value_becomes_plain_json(value: Any, expected: Any) -> None:
    """What JSON cannot carry is written out, the rest stays."""
    assert plain(value) == expected


@given(st.text())
def test_any_text_can_be_shown(text: str) -> None:
    """Text from anywhere is valid in HTML and XML, and comes back as it was made visible."""
    assert Page(f"<p>{escape(text)}</p>").text == visible(text)
    assert (ElementTree.fromstring(f"<p>{escape(text)}</p>").text or "") == visible(text)
    visible(text).encode()
