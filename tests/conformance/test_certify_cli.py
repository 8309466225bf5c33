"""`interop certify` and `interop requirements`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from conformance import api
from conformance.broken import Healthy
from conformance.broken.wire import serving
from interop.cli import main
from tests.cli.program import run
from tests.conformance.servers import FAILS, WARNS, evidence, recorded, write


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    return recorded(tmp_path / "healthy", healthy=True)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    return recorded(tmp_path / "broken", healthy=False)


def out(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


# Servers


def test_a_source_is_certified(tmp_path: Path) -> None:
    """A source is served and certified, stopping included; the report and the evidence are written."""
    done = run("certify", "gym:CartPole-v1", "--profile", "core", "-o", tmp_path / "report", "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    document = json.loads(done.stdout)
    assert (document["target"], document["certified"], document["ok"]) == ("gym:CartPole-v1", True, True)
    assert {it["id"]: it["outcome"] for it in document["results"]}["WS-26"] == "pass"
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == document
    again = run("certify", "--evidence", tmp_path / "report", "--json")
    assert json.loads(again.stdout) == document


def test_a_url_is_certified(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A running server is certified with what is given, and the verdict is the last line."""
    with serving(Healthy()) as running:
        arguments = ["--action", '{"by": 1}', "--action", '{"by": 2}', "--reset", '{"seed": 1}', "--jobs", "8"]
        code = main(["certify", running.url, "--profile", "core", *arguments, "-o", str(tmp_path)])
    text = out(capsys)
    assert code == 0, text
    verdict = f"verdict         certified: {running.url} meets the requirements of openenv 0.10, profile core ("
    assert text.splitlines()[-1].startswith(verdict)
    assert text.endswith(f" untested); the report is {tmp_path / 'report.html'}\n")
    facts = json.loads((tmp_path / "report.json").read_text())["facts"]
    assert facts["inputs"] == {"actions": [{"by": 1}, {"by": 2}], "reset": {"seed": 1}}


# What is shown


def test_areas_and_what_was_not_judged(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain text has the areas with their counts, and one line for each reason why something was not judged."""
    assert main(["certify", "--evidence", str(healthy)]) == 0
    lines = out(capsys).splitlines()
    assert lines[0].split() == ["area", "pass", "fail", "warn", "n.a.", "untested"]
    assert any(line.startswith("transport ") for line in lines)
    assert any(line.startswith("not applicable  PKG-1, PKG-2, ") for line in lines)
    assert any(line.startswith("untested        ") and "SES-5" in line and '"slow"' in line for line in lines)
    assert not any(line.startswith(("fail", "warn ")) for line in lines)


def test_findings(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Findings have the sentence, what was seen, and how to mend it; failures come first."""
    assert main(["certify", "--evidence", str(broken)]) == 1
    text = out(capsys)
    fails, warns = api.find(FAILS), api.find(WARNS)
    assert f"fail            {FAILS} MUST: {fails.sentence}\nseen            " in text
    assert f"fix             {' '.join(fails.fix.split())}\n" in text
    assert text.index(f"warn            {WARNS} SHOULD: {warns.sentence}\n") > text.index("fail            ")
    end = "verdict         not certified: counter misses 1 of the requirements of openenv 0.10, profile core\n"
    assert text.endswith(end)


def test_a_terminal_is_not_steered(broken: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """What a server sent is shown, and never obeyed."""
    monkeypatch.setattr(api, "judge", lambda *_, **__: [_finding("\x1b[2J[red]a\nb")])
    assert main(["certify", "--evidence", str(broken)]) == 1
    assert "seen            \\x1b[2J[red]a b\n" in out(capsys)


def _finding(message: str) -> Any:
    from conformance.runner import Result

    return Result(api.find(FAILS), "fail", message, ())


def test_forms(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report is printed as JSON, as JUnit and in the form of OpenEnv's own validator, and nothing else."""
    for options in (["--json"], ["--format", "json"]):
        assert main(["certify", "--evidence", str(broken), *options]) == 1
        document = json.loads(out(capsys))
        assert document["unexpected"] == [FAILS]
    assert main(["certify", "--evidence", str(broken), "--format", "openenv"]) == 1
    assert json.loads(out(capsys))["verdict"] == "fail"
    assert main(["certify", "--evidence", str(broken), "--format", "junit"]) == 1
    assert ElementTree.fromstring(out(capsys)).get("failures") == "1"


def test_a_table_in_a_terminal(broken: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """In a terminal the table is drawn, and long texts are folded beside their labels."""
    monkeypatch.setattr("interop.cli.output.in_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["certify", "--evidence", str(broken)]) == 1
    text = out(capsys)
    assert "│ transport" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "\nverdict         not certified: counter misses 1 of" in text


# Expected failures


@pytest.mark.parametrize(
    ("expected", "code", "text"),
    [
        (f"{FAILS} = 'no fragments yet'", 0, "profile core, exactly as expected\n"),
        (f"{WARNS} = 'a proxy checks it'", 1, "profile core, 1 of them unexpected\n"),
        (
            f"{FAILS} = 'x'\nWS-3 = 'y'",
            1,
            "stale           WS-3 is no finding now: take it out of the expected failures",
        ),
        (f"{FAILS} = 'no fragments yet'", 0, "expected        no fragments yet\n"),
    ],
)
def test_expected_failures(
    expected: str, code: int, text: str, broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With expected failures the exit code says whether exactly these failed."""
    file = write(tmp_path / "expected.toml", f"[expected]\n{expected}\n")
    assert main(["certify", "--evidence", str(broken), "--expected-failures", str(file)]) == code
    assert text in out(capsys)


def test_what_is_expected_and_passes(healthy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A certified server that should fail is not as expected."""
    file = write(tmp_path / "expected.toml", "[expected]\nWS-3 = 'x'\n")
    assert main(["certify", "--evidence", str(healthy), "--expected-failures", str(file)]) == 1
    assert "untested), but not as expected\n" in out(capsys)


# Errors


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "name a target (a URL, a source, docker:IMAGE, a directory) or --evidence DIR, one of them"),
        (["URL", "--evidence", "x"], 2, "name a target (a URL, a source, docker:IMAGE, a directory) or --evidence"),
        (["http://127.0.0.1:1"], 2, "nothing answers at http://127.0.0.1:1: [Errno "),
        (["CartPole"], 2, "'CartPole' is nothing that can be certified; accepted are a URL"),
        (
            ["URL", "--profile", "x"],
            2,
            "there is no profile 'x'; accepted are core, mcp, tasks, gymnasium, strict, all",
        ),
        (["URL", "--requirements", "9"], 2, "there are no requirements for '9'; accepted are 0.2.0, "),
        (["URL", "--action", "{"], 2, "--action { is no JSON: line 1, column 2: "),
        (["URL", "--action", "1"], 2, "the actions: `actions`, number 1 must be an object, not 1"),
        (["URL", "--reset", "[]"], 2, "the arguments of reset must be an object, not []"),
        (["URL", "--action", "{}", "--actions", "x"], 2, "--action and --actions exclude each other"),
        (["URL", "--actions", "nothing.json"], 2, "nothing.json cannot be read: No such file or directory"),
        (["URL", "--expected-failures", "nothing.toml"], 2, "nothing.toml cannot be read: No such file or directory"),
        (["--evidence", "nothing"], 2, "nothing holds no evidence that can be read: FileNotFoundError"),
        (["URL", "--json", "--format", "junit"], 2, "--json and --format junit exclude each other"),
        (["URL", "--format", "x"], 2, "Invalid value for '--format'"),
    ],
)
def test_errors_are_one_line(arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What a user can get wrong is one line on stderr."""
    # Nothing answers at this address either, but what is given is looked at before.
    assert main(["certify", *(it.replace("URL", "http://127.0.0.1:1") for it in arguments)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {text}")
    assert captured.err.count("\n") == 1


def test_an_actions_file_with_unknown_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown keys of an actions file are an error that names the accepted ones."""
    file = write(tmp_path / "actions.json", '{"fast": {}}')
    assert main(["certify", "http://127.0.0.1:1", "--actions", str(file)]) == 2
    assert f"error: {file}: unknown fast; accepted are actions, reset, invalid, " in capsys.readouterr().err


def test_a_server_that_does_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last words of a server that does not start come before the error, and it is not certified."""
    write(tmp_path / "server" / "app.py", "1 / 0")
    assert main(["certify", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero\nerror: the server ended with code 1 before it listened\n" in error


def test_a_report_that_cannot_be_written(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A place where nothing can be written is an error that names it."""
    file = healthy / "run.json"
    assert main(["certify", "--evidence", str(healthy), "-o", str(file)]) == 2
    assert capsys.readouterr().err == f"error: --output {file}: File exists\n"


def test_a_bug_is_exit_code_3(healthy: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A bug of ours is told from a finding."""
    monkeypatch.setattr(api, "rejudge", lambda *_, **__: 1 / 0)
    assert main(["certify", "--evidence", str(healthy)]) == 3
    assert "error: internal: ZeroDivisionError" in capsys.readouterr().err


# The catalogue


def test_requirements(capsys: pytest.CaptureFixture[str]) -> None:
    """The catalogue is a table, of a profile, an area and a release."""
    assert main(["requirements"]) == 0
    assert len(out(capsys).splitlines()) == 1 + len(api.select())
    assert main(["requirements", "--profile", "core", "--area", "transport", "--requirements", "0.4"]) == 0
    header, *lines = out(capsys).splitlines()
    assert header.split() == ["id", "level", "profile", "sentence"]
    assert [line.split()[0] for line in lines] == [it.id for it in api.select("core", "0.4", "transport")]
    assert main(["requirements", "--profile", "mcp", "--json"]) == 0
    document = json.loads(out(capsys))
    assert [it["id"] for it in document["requirements"]] == [it.id for it in api.select("mcp")]


def test_one_requirement(capsys: pytest.CaptureFixture[str]) -> None:
    """With an id everything about a requirement is shown."""
    assert main(["requirements", "ws-26"]) == 0
    text, it = out(capsys), api.find("WS-26")
    lines = [f"sentence        {it.sentence}", "since           protocol revision P1", f"source          {it.source}"]
    assert set(lines) < set(text.splitlines())
    assert main(["requirements", "WS-26", "--json"]) == 0
    assert json.loads(out(capsys))["fix"] == it.fix
    never = next(it for it in api.select() if it.untestable)
    assert main(["requirements", never.id]) == 0
    assert f"untestable      {' '.join(never.untestable.split())}\n" in out(capsys)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["X-1"], "there is no requirement 'X-1' for openenv 0.10; see interop requirements"),
        (["--profile", "x"], "there is no profile 'x'; accepted are core, mcp"),
        (["--area", "x"], "there is no area 'x'; accepted are transport, frames"),
        (["--requirements", "9"], "there are no requirements for '9'; accepted are 0.2.0"),
    ],
)
def test_what_the_catalogue_does_not_have(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not there is an error that says what is."""
    assert main(["requirements", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {text}")


def test_the_evidence_is_of_both_servers() -> None:
    """The servers of these tests are what they are said to be."""
    findings = [
        {it.requirement.id for it in api.judge(evidence(healthy=healthy), profile="core") if it.is_finding}
        for healthy in (True, False)
    ]
    assert findings == [set(), {FAILS, WARNS}]
