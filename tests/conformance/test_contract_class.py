"""`ServerContract`: the requirements as tests of a class."""

from __future__ import annotations

import pytest

from conformance import ServerContract, api
from tests.conformance.servers import FAILS, WARNS

pytest_plugins = ["pytester"]

HEAD = """
import contextlib
from conformance import ServerContract
from conformance.broken import COUNTER, QUICK, Healthy
from conformance.broken.wire import serving
from tests.conformance.servers import broken

class Quick(ServerContract):
    inputs = COUNTER
    timing = QUICK
"""


def run(pytester: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    """Run a test module."""
    pytester.makepyfile(test_server=HEAD + body)
    return pytester.runpytest(*arguments)


def test_each_requirement_is_a_test_of_the_class(pytester: pytest.Pytester) -> None:
    """A subclass has a test for each requirement, and serves once for all of them."""
    body = """
class TestCounter(Quick):
    served = 0

    def serve(self):
        type(self).served += 1
        with serving(Healthy()) as running:
            yield running.url

def test_it_was_served_once():
    assert TestCounter.served == 1
"""
    result = run(pytester, body, "-v")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["test_server.py::TestCounter::test_requirement[[]WS-1] PASSED*"])
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] + outcomes["skipped"] == len(api.judged("core")) + 1


def test_what_fails_and_what_is_expected(pytester: pytest.Pytester) -> None:
    """A failure has the frames and no traceback; what is expected to fail is xfailed; a context manager serves too."""
    body = f"""
class TestBroken(Quick):

    @contextlib.contextmanager
    def serve(self):
        with serving(broken()) as running:
            yield running.url

class TestExpected(TestBroken):
    expected = {{"{FAILS}": "known", "{WARNS}": "known"}}
"""
    result = run(pytester, body)
    result.stdout.fnmatch_lines(
        [
            f"* TestBroken.test_requirement[[]{FAILS}] *",
            f"{FAILS} MUST: *",
            "recorded as `*",
            f"FAILED test_server.py::TestBroken::test_requirement[[]{FAILS}] - *",
        ]
    )
    outcomes = result.parseoutcomes()
    assert (outcomes["failed"], outcomes["xfailed"], outcomes["warnings"]) == (1, 2, 1)
    assert "Traceback" not in result.stdout.str()


def test_profiles(pytester: pytest.Pytester) -> None:
    """A subclass chooses the profile; a text will do where something runs already."""
    body = """
URLS = contextlib.ExitStack()
URL = URLS.enter_context(serving(Healthy())).url

class TestTasks(Quick):
    profile = "tasks"

    def serve(self):
        return URL
"""
    outcomes = run(pytester, body).parseoutcomes()
    assert sum(outcomes.values()) == len(api.judged("tasks"))


def test_a_server_that_cannot_be_reached_is_tried_once(pytester: pytest.Pytester) -> None:
    """Where the server cannot be served every test fails with the reason, and it is tried once."""
    body = """
class TestNothing(Quick):
    profile = "tasks"
    tried = 0

    def serve(self):
        type(self).tried += 1
        yield "http://127.0.0.1:1"

class TestForgotten(Quick):
    profile = "tasks"

def test_it_was_tried_once():
    assert TestNothing.tried == 1
"""
    result = run(pytester, body, "-rf")
    count = len(api.judged("tasks"))
    result.assert_outcomes(failed=2 * count, passed=1)
    text = result.stdout.str()
    assert text.count("nothing answers at http://127.0.0.1:1: ") >= count
    assert "TestForgotten must override serve(), which yields the server's URL" in text


def test_mistakes_are_errors_of_collection(pytester: pytest.Pytester) -> None:
    """A profile that is none is said when the tests are collected."""
    result = run(pytester, "class TestWrong(Quick):\n    profile = 'x'\n")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*there is no profile 'x'; accepted are core, mcp, *"])


def test_the_base_class_is_no_test(pytester: pytest.Pytester) -> None:
    """The imported base class itself has no tests, whatever a module calls it."""
    assert ServerContract.__name__ == "ServerContract"
    run(pytester, "from conformance import ServerContract as TestBase\n").assert_outcomes()
