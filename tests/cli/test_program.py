"""The program as a whole: help, version, errors and exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from interop.cli import main
from interop.cli.app import COMMANDS
from interop.cli.options import command_app
from tests.cli.program import run

HEAVY = ("gymnasium", "fastapi", "numpy", "uvicorn", "httpx", "websockets", "pydantic")


@pytest.fixture(autouse=True)
def _no_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sets with --traceback ends with it."""
    monkeypatch.setenv("INTEROP_TRACEBACK", "0")


def test_the_version_is_cheap() -> None:
    """`interop --version` prints the version and imports none of the big libraries."""
    code = (
        "import sys; from interop.cli import main; assert main(['--version']) == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "interop 0.1.0\n[]\n"


def test_alone_it_teaches() -> None:
    """`interop` alone shows the first three commands and all others, and succeeds."""
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    for line in ("interop serve gym:CartPole-v1", "interop info http://127.0.0.1:8000", *COMMANDS.values()):
        assert line in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of a command begins with its summary, shows examples, and is plain text outside of a terminal."""
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert COMMANDS[command] in " ".join(text.split())
    assert f"Examples:\n\n    interop {command}" in text
    assert "\x1b" not in text
    assert "│" not in text


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nothing"], 2, "error: there is no command 'nothing'; accepted are serve, info, play, bench"),
        (["info"], 2, "error: Missing argument 'SOURCE|URL' (see interop info --help)"),
        (["info", "CartPole-v1"], 2, "error: 'CartPole-v1' is no source; accepted is CONVERTER:TARGET with gym:"),
        (["info", "gym:Nothing-v0"], 2, "error: gym:Nothing-v0 cannot be found"),
        (["info", "http://127.0.0.1:1"], 2, "error: no server answers at http://127.0.0.1:1: "),
        (["play", "http://127.0.0.1:1"], 2, "error: http://127.0.0.1:1 does not describe itself as an OpenEnv server"),
        (["serve", "http://127.0.0.1:1"], 2, "error: http://127.0.0.1:1 is a server already"),
        (["serve", "gym:CartPole-v1", "--max-sessions", "0"], 2, "error: Invalid value for '--max-sessions'"),
        (["play", "gym:CartPole-v1", "--record", "x.avi"], 2, "error: --record x.avi: accepted are names that end in"),
    ],
)
def test_errors_are_one_line(arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What a user can get wrong is one line on stderr and exit code 2."""
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(text)
    assert captured.err.count("\n") == 1


def test_a_bug_is_exit_code_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A bug of ours is one line that says how to get the traceback, and exit code 3; with --traceback it is shown."""
    monkeypatch.setattr("interop.cli.info.wrap", lambda name: 1 / 0)
    assert main(["info", "gym:CartPole-v1"]) == 3
    error = capsys.readouterr().err
    assert error.startswith(
        "error: internal: ZeroDivisionError: division by zero. This is a bug of interop 0.1.0; add "
    )
    assert error.count("\n") == 1
    assert main(["info", "gym:CartPole-v1", "--traceback"]) == 3
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last):")
    assert "add --traceback" not in error


def test_a_mode_of_the_environment_variable_is_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad OPENENV_MODE is a usage error that names it."""
    monkeypatch.setenv("OPENENV_MODE", "fast")
    assert main(["serve", "gym:CartPole-v1"]) == 2
    assert "OPENENV_MODE is 'fast'; accepted are simulation and production" in capsys.readouterr().err


def test_help_is_plain_outside_of_a_terminal() -> None:
    """Applications of commands ask rich for help in terminals alone."""
    assert command_app().rich_markup_mode is None
