"""The catalogue and the specification say the same, and each requirement has its check."""

from __future__ import annotations

import pytest

from conformance import checks
from conformance.catalogue import AREAS, PROFILES, VERSIONS, CatalogueError, requirements, select
from tests.test_protocol_doc import SENTENCES, SINCE

SERVER = {it.id: it.text for it in SENTENCES if it.text.startswith("A server ")}


def test_every_sentence_on_servers_is_a_requirement() -> None:
    """The ids and the words are those of `docs/protocol.md`; sentences on clients bind no server."""
    assert {it.id: it.sentence for it in requirements()} == SERVER
    assert [it.id for it in SENTENCES if it.id not in SERVER and not it.text.startswith("A client ")] == []


def test_levels_and_revisions_are_those_of_the_sentences() -> None:
    """A level is the sentence's keyword, a revision its mark."""
    assert [it.id for it in requirements() if f" {it.level} " not in it.sentence] == []
    assert {it.id: it.since for it in requirements()} == {id: SINCE[id] for id in SERVER}


def test_every_requirement_has_one_check_or_a_reason() -> None:
    """An id has exactly one check, or says why nothing can judge it."""
    testable = {it.id for it in requirements() if not it.untestable}
    assert set(checks.load()) == testable
    assert len(testable) >= 80


def test_requirements_are_complete() -> None:
    """Each says where it comes from, and how to mend a server that breaks it."""
    for it in requirements():
        assert it.area in AREAS
        assert it.profile in PROFILES
        assert it.source
        assert it.fix or it.untestable or it.level == "MAY", it.id
        assert not it.untestable or it.untestable.endswith("."), it.id


def test_older_releases_have_fewer_requirements() -> None:
    """A release is certified by what its revision of the protocol has."""
    counts = [len(requirements(version)) for version in ("0.2.0", "0.2.1", "0.3", "0.4", "0.5", "0.8")]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] == len(requirements())


def test_profiles_divide_the_catalogue() -> None:
    """A requirement belongs to one profile; `strict` contains `core`, and `all` everything."""
    assert set(select("strict")) > set(select("core"))
    assert set(select("all")) == set(requirements())
    assert sum(len(select(name)) for name in PROFILES if name != "strict") < len(requirements())


@pytest.mark.parametrize(("profile", "version", "words"), [("cor", "0.10", "'cor'; accepted are core"),
                                                           ("core", "1.0", "'1.0'; accepted are 0.2.0")])  # fmt: skip
def test_unknown_names_say_what_is_accepted(profile: str, version: str, words: str) -> None:
    """An unknown profile or release is an error that names the known ones."""
    with pytest.raises(CatalogueError, match=words):
        select(profile, version)
    assert "0.10" in VERSIONS
