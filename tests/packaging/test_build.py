"""Images: what cannot be built, each with one clear message; and, with an engine, one that is built and broken ones."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from interop.cli import main

MANIFEST = "spec_version: 1\nname: my_env\n"


def package(directory: Path, dockerfile: str) -> Path:
    """What is a package to the engine."""
    (directory / "openenv.yaml").write_text(MANIFEST)
    (directory / "Dockerfile").write_text(dockerfile)
    return directory


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("nothing", [], "nothing is neither a package's directory nor a source such as gym:CartPole-v1"),
        (".", [], ". is no package: it has no Dockerfile; write one: interop package SOURCE -o ."),
        (".", ["--hub", "x"], ". is a package, which says what it installs; leave out --hub"),
        (".", ["--with", "x"], ". is a package, which says what it installs; leave out --with"),
        ("gym:NoSuchEnv-v0", [], "NoSuchEnv"),
    ],
)
def test_what_cannot_be_built(
    source: str, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says what was wrong, before an engine is asked."""
    assert main(["build", source, "-t", "x", *options]) == 2
    assert message in capsys.readouterr().err


def test_without_an_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no engine answers one line says so, and how one is named."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert main(["build", str(package(tmp_path, "FROM scratch")), "-t", "x"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no Docker engine answers: ")
    assert error.endswith("; start one, or name it in DOCKER_HOST\n")
    assert error.count("\n") == 1


@pytest.mark.docker
@pytest.mark.slow  # asks the engine
@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        (
            "FROM python:3.13-slim\nRUN echo some words && false\n",
            ["returned a non-zero code: 1", "before that: some words"],
        ),
        (
            "FROM python:3.13-slim\n"
            "RUN printf '\\033[91mNo matching distribution found for openenv-interop==9\\033[0m\\n' && false\n",
            ["before that: No matching distribution found for openenv-interop==9", "wheel of its checkout"],
        ),
        ("FROM python:3.13-slim\nNONSENSE\n", ["unknown instruction: NONSENSE"]),
        ("FROM python:3.13-slim\nCOPY nowhere /\n", ["nowhere"]),
    ],
)
def test_a_broken_dockerfile(
    dockerfile: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error has what the engine said of it, and the program exits with 1."""
    assert main(["build", str(package(tmp_path, dockerfile)), "-t", "interop-test-broken"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: the image of {tmp_path} cannot be built: ")
    assert "\x1b" not in error
    for word in words:
        assert word in error


@pytest.mark.docker
@pytest.mark.slow  # asks the engine
def test_the_engines_words_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its progress goes to stderr, what was built to stdout; BASE_IMAGE is passed on."""
    directory = package(tmp_path, "ARG BASE_IMAGE=acme/nothing\nFROM ${BASE_IMAGE}\nLABEL a=b\n")
    assert main(["build", str(directory), "-t", "interop-test-built", "--base-image", "python:3.13-slim"]) == 0
    said = capsys.readouterr()
    docker.from_env().images.remove("interop-test-built", force=True)
    assert "LABEL a=b" in said.err
    assert said.out.startswith("interop-test-built: ")
