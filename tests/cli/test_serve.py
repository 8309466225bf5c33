"""`interop serve`."""

from __future__ import annotations

import dataclasses
import inspect
import signal
import socket

import httpx
import pytest

import interop
from interop.cli import main
from interop.cli.serve import serve
from tests.cli.program import ENVIRONMENT, serving


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_line_and_a_graceful_end(number: signal.Signals) -> None:
    """Outside of a terminal it prints exactly one line when the port is open, and a signal ends it with 0."""
    with serving("gym:CartPole-v1") as (process, said):
        assert said == {"url": said["url"], "name": "CartPole-v1", "pid": process.pid}
        assert httpx.get(f"{said['url']}/health").json() == {"status": "healthy"}
        with interop.connect(said["url"]) as session:
            session.reset(seed=0)
            process.send_signal(number)
            assert process.wait(20) == 0
        assert process.stdout is not None
        assert process.stderr is not None
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_a_taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    """A taken port is an error that names it and the way out, with exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "gym:CartPole-v1", "--port", str(port)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"error: cannot listen on 127.0.0.1, port {port}: Address already in use; --port 0 takes a free one\n"
    )


def test_options_arrive() -> None:
    """Options arrive at the server, and without a token it warns where others can reach it."""
    options = ("--host", "0.0.0.0", "--mode", "production", "--max-sessions", "3", "--json")
    with serving("gym:CartPole-v1", *options) as (process, said):
        url = "http://127.0.0.1:" + said["url"].rpartition(":")[2]
        assert httpx.post(f"{url}/reset").status_code == 404
        assert httpx.get(f"{url}/gymnasium").json()["limits"]["max_sessions"] == 3
        process.terminate()
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read().startswith("warning: everyone who reaches 0.0.0.0 over the network can use")


def test_a_token_of_the_environment_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """INTEROP_TOKEN guards the server, quiets the warning, and opens it for other commands."""
    with serving("gym:CartPole-v1", "--host", "0.0.0.0", env={**ENVIRONMENT, "INTEROP_TOKEN": "secret"}) as it:
        process, said = it
        url = "http://127.0.0.1:" + said["url"].rpartition(":")[2]
        assert httpx.get(f"{url}/metadata").status_code == 401
        assert main(["info", url]) == 2
        assert capsys.readouterr().err == f"error: {url} asks for a token; give it with --token or INTEROP_TOKEN\n"
        assert main(["info", url, "--token", "secret"]) == 0
        monkeypatch.setenv("INTEROP_TOKEN", "secret")
        assert main(["play", url, "--steps", "1"]) == 0
        process.terminate()
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_options_are_the_settings() -> None:
    """Each field of `Settings` has an option, and the option's default is the field's."""
    options = inspect.signature(serve).parameters
    for field in dataclasses.fields(interop.Settings):
        option = options[{"origins": "allow_origin"}.get(field.name, field.name)]
        if field.name not in ("mode", "origins"):
            assert option.default == field.default
