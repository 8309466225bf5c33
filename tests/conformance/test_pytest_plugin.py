"""`pytest --openenv-url URL`: a test for each requirement."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance import api
from conformance.broken import COUNTER, QUICK, Healthy
from conformance.broken.wire import Request, Response, serving
from tests.conformance.servers import FAILS, WARNS, broken, write

pytest_plugins = ["pytester"]


class Counting(type(broken())):  # type: ignore[misc]
    """Counts the requests for each path."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()
        self.counting = threading.Lock()

    def respond(self, request: Request) -> Response:
        with self.counting:
            self.asked[request.path] += 1
        return super().respond(request)


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    with serving(Healthy()) as running:
        yield running.url


@pytest.fixture(scope="module")
def bad() -> Iterator[str]:
    with serving(broken()) as running:
        yield running.url


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process wait as short as for a server in this process, and are not told what is slow."""
    monkeypatch.setattr("conformance.recorder.Timing", lambda: QUICK)


@pytest.fixture
def actions(tmp_path: Path) -> Path:
    return write(tmp_path / "actions.json", f"{list(map(dict, COUNTER.actions))}".replace("'", '"'))


def test_without_the_option_nothing_is_loaded(pytester: pytest.Pytester) -> None:
    """The plugin of a run without a server loads nothing of the suite."""
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_loaded():
            loaded = [name for name in sys.modules if name.split(".")[0] == "conformance"]
            assert sorted(loaded) == ["conformance", "conformance.pytest_plugin"]
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_each_requirement_is_a_test(healthy: str, actions: Path, pytester: pytest.Pytester) -> None:
    """A healthy server passes; what does not apply and what cannot be tested is skipped with the reason."""
    result = pytester.runpytest("--openenv-url", healthy, f"--openenv-actions={actions}", "-v", "-rs")
    assert result.ret == 0
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] + outcomes["skipped"] == len(api.judged("core"))
    result.stdout.fnmatch_lines([f"openenv: {healthy}, profile core", f"*collected {len(api.judged('core'))} items"])
    result.stdout.fnmatch_lines(["openenv::WS-1 PASSED*"])
    result.stdout.fnmatch_lines(["SKIPPED *: untested: no action is known that takes 2 seconds; give one as *"])
    result.stdout.fnmatch_lines(["SKIPPED *: not applicable: the server was not given as an image"])


def test_a_failure_says_everything(bad: str, pytester: pytest.Pytester) -> None:
    """A failure has the sentence, what was seen, how to mend it and the frames; a SHOULD is a warning."""
    result = pytester.runpytest("--openenv-url", bad)
    assert result.ret == 1
    assert result.parseoutcomes()["failed"] == 1
    fails, warns = api.find(FAILS), api.find(WARNS)
    result.stdout.fnmatch_lines(
        [
            f"* openenv::{FAILS} *",
            f"{FAILS} MUST: {fails.sentence}",
            "seen: *",
            f"fix: {fails.fix}",
            f"source: docs/protocol.md section {fails.section}; {fails.source}",
            "recorded as `*`: GET /ws, answered 101",
            "> *.* C *",
            f"openenv::{WARNS}",
            f"  docs/protocol.md:0: RequirementWarning: {WARNS} SHOULD: {warns.sentence}".replace("[", "[[]"),
            f"FAILED openenv::{FAILS} - *",
        ]
    )
    text = result.stdout.str()
    assert "Traceback" not in text
    assert "conformance/" not in text.partition("= FAILURES =")[2].partition("= warnings summary =")[0]


def test_strict(bad: str, pytester: pytest.Pytester) -> None:
    """By the profile strict a SHOULD that is not kept fails."""
    result = pytester.runpytest("--openenv-url", bad, "--openenv-profile", "strict")
    result.stdout.fnmatch_lines_random([f"FAILED openenv::{FAILS} - *", f"FAILED openenv::{WARNS} - *"])


def test_expected_failures(bad: str, pytester: pytest.Pytester) -> None:
    """What is expected to fail is xfailed, a warning too; what is expected and does not fail is a failure."""
    file = write(pytester.path / "expected.toml", f"[expected]\n{FAILS} = 'known'\n{WARNS} = 'known'\n")
    result = pytester.runpytest("--openenv-url", bad, "--openenv-expected-failures", str(file))
    assert result.ret == 0
    assert result.parseoutcomes()["xfailed"] == 2
    write(file, f"[expected]\n{FAILS} = 'known'\nWS-3 = 'gone'\nPKG-1 = 'not judged'\n")
    result = pytester.runpytest("--openenv-url", bad, "--openenv-expected-failures", str(file))
    result.stdout.fnmatch_lines_random(["FAILED openenv::WS-3 - [[]XPASS(strict)] gone", "FAILED openenv::PKG-1 - *"])
    assert result.parseoutcomes()["failed"] == 2


def test_some_of_them_beside_other_tests(healthy: str, pytester: pytest.Pytester) -> None:
    """Requirements are chosen by name, alone or beside other tests, and nothing else is collected."""
    pytester.makepyfile(test_other="def test_other(): pass", test_third="def test_third(): pass")
    url = ("--openenv-url", healthy)
    pytester.runpytest(*url, "openenv::WS-1", "openenv::WS-3").assert_outcomes(passed=2)
    pytester.runpytest(*url, "../openenv::WS-1", "test_other.py").assert_outcomes(passed=2)


@pytest.mark.slow
def test_the_server_is_talked_to_once(pytester: pytest.Pytester) -> None:
    """With xdist one run of the suite talks to the server, and none that only collects; the verdicts are the same."""
    server = Counting()
    with serving(server) as running:
        url = ("--openenv-url", running.url)
        pytester.runpytest(*url, "--collect-only").stdout.fnmatch_lines(["*openenv*"])
        assert not server.asked
        pytester.runpytest(*url, "openenv::WS-1").assert_outcomes(passed=1)
        once = server.asked["/gymnasium"]
        assert once
        result = pytester.runpytest_subprocess(*url, "-n", "2")
        assert server.asked["/gymnasium"] == 2 * once
    result.stdout.fnmatch_lines([f"FAILED openenv::{FAILS} - *"])
    assert sum(result.parseoutcomes().get(it, 0) for it in ("passed", "failed", "skipped")) == len(api.judged("core"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["openenv::WS-1"], "ERROR: nothing answers at http://127.0.0.1:1: *"),
        (["openenv::WS-1", "-n", "1"], "ERROR: nothing answers at http://127.0.0.1:1: *"),
        (["openenv::X-1"], "ERROR: profile core judges no X-1"),
        (["--openenv-profile", "x"], "ERROR: there is no profile 'x'; accepted are core, mcp, *"),
        (["--openenv-actions", "nothing.json"], "ERROR: nothing.json cannot be read: No such file or directory"),
        (["--openenv-expected-failures", "x.toml"], "ERROR: x.toml cannot be read: No such file or directory"),
    ],
)
def test_usage_errors(arguments: list[str], text: str, pytester: pytest.Pytester) -> None:
    """What a user can get wrong is a usage error of pytest, once, and not a failure of each test."""
    result = pytester.runpytest("--openenv-url", "http://127.0.0.1:1", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([text])
