"""The specification is well-formed: the conformance suite and the code refer to its sentences by id."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

TEXT = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text(encoding="utf-8")
PREFIXES = [
    "REV", "WS", "FRM", "ERR", "SES", "ENC", "HTTP", "TASK", "MCP", "SEM", "CLI", "BIN", "VEC", "GYM", "SEC", "PKG",
]  # fmt: skip
SENTENCE = re.compile(r"- \*\*([A-Z]+-[1-9]\d*)\*\* (?:\[P([1-7])\+\] )?(.+)")
KEYWORD = re.compile(r"\b(?:MUST NOT|MUST|SHOULD NOT|SHOULD|MAY|SHALL NOT|SHALL|REQUIRED|RECOMMENDED|OPTIONAL)\b")
LEVELS = {"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"}


class Sentence(NamedTuple):
    id: str
    text: str


def _body() -> list[str]:
    """The lines after the preface, without code blocks."""
    return re.sub(r"^```.*?^```$", "", TEXT[TEXT.index("\n## 1 ") :], flags=re.DOTALL | re.MULTILINE).splitlines()


_MATCHES = [match for line in _body() if (match := SENTENCE.fullmatch(line))]
SENTENCES = [Sentence(match[1], match[3]) for match in _MATCHES]
SINCE = {match[1]: int(match[2] or 1) for match in _MATCHES}
DEVIATIONS = [line for line in TEXT.splitlines() if line.startswith("| DEV-")]


def test_every_numbered_line_is_read() -> None:
    """No numbered sentence escapes the pattern."""
    assert len(SENTENCES) == sum(line.lstrip().startswith("- **") for line in _body()) > 200


def test_ids_are_unique() -> None:
    """An id names one sentence, and its prefix is one of the document's."""
    assert [id for id, times in Counter(sentence.id for sentence in SENTENCES).items() if times > 1] == []
    assert {sentence.id.split("-")[0] for sentence in SENTENCES} == set(PREFIXES)
    assert [prefix for prefix in PREFIXES if f"`{prefix}`" not in TEXT] == []


def test_each_sentence_has_one_level() -> None:
    """A numbered sentence carries exactly one RFC 2119 keyword."""
    found = {sentence.id: KEYWORD.findall(sentence.text) for sentence in SENTENCES}
    assert {id: words for id, words in found.items() if len(words) != 1 or words[0] not in LEVELS} == {}


def test_each_sentence_has_one_role() -> None:
    """A numbered sentence says whom it binds in its first words, and ends."""
    assert [s for s in SENTENCES if not s.text.startswith(("A server ", "A client ")) or not s.text.endswith(".")] == []


def test_levels_stand_in_numbered_sentences_only() -> None:
    """What is not numbered demands nothing."""
    assert [line for line in _body() if KEYWORD.search(line) and not SENTENCE.fullmatch(line)] == []


def test_deviations_are_numbered_without_gaps() -> None:
    """DEV-1, DEV-2, ... each with the official behaviour, ours, and the reason."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in DEVIATIONS]
    assert [row[0] for row in rows] == [f"DEV-{number}" for number in range(1, len(rows) + 1)]
    assert [row for row in rows if len(row) != 4 or not all(row)] == []


def test_references_lead_somewhere() -> None:
    """Every id that the text names is defined in it."""
    defined = {sentence.id for sentence in SENTENCES} | {line.split()[1] for line in DEVIATIONS}
    named = set(re.findall(rf"\b(?:{'|'.join([*PREFIXES, 'DEV'])})-[1-9]\d*\b", TEXT))
    assert named - defined == set()


def test_server_messages_shown_are_frames() -> None:
    """An example after `S` is one compact JSON object with the keys `type` and `data`."""
    shown = re.findall(r"^S (.+)$", TEXT, flags=re.MULTILINE)
    assert shown
    for text in shown:
        frame = json.loads(text)
        assert list(frame) == ["type", "data"]
        assert json.dumps(frame, separators=(",", ":"), ensure_ascii=False) == text
