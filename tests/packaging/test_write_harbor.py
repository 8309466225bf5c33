"""Packages of a task of harbor, read without harbor: what their images begin with, and which tasks are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from converters.harbor.image import TaskImage, task_image
from converters.harbor.rebased import ignored, rebased
from converters.harbor.sandboxes import secrets
from converters.harbor.tasks import load
from interop.errors import SourceError
from interop.packaging.write import write
from tests.harbor.made import make

TASKS = Path(__file__).parent.parent / "harbor_tasks"


# The Dockerfile


REBASED = [
    # What a task's Dockerfile says, what the package's does
    ("FROM a:1\nWORKDIR /app\n", ["ARG BASE_IMAGE=a:1", "FROM ${BASE_IMAGE} AS interop-task", "WORKDIR /app"]),
    ("from a:1 as last", ["ARG BASE_IMAGE=a:1", "from ${BASE_IMAGE} as last"]),
    (
        "FROM go AS one\nRUN make\nFROM --platform=linux/amd64 a:1\nCOPY --from=one /x /y",
        [
            "ARG BASE_IMAGE=a:1",
            "FROM go AS one",
            "RUN make",
            "FROM --platform=linux/amd64 ${BASE_IMAGE} AS interop-task",
            "COPY --from=one /x /y",
        ],
    ),
    (
        "ARG V=1\nFROM a:$V AS Base\nRUN x\nFROM b\nFROM base",
        [
            "ARG V=1",
            "ARG BASE_IMAGE=a:$V",
            "FROM ${BASE_IMAGE} AS Base",
            "RUN x",
            "FROM b",
            "FROM base AS interop-task",
        ],
    ),
    (
        "ARG BASE_IMAGE=a:1\nFROM ${BASE_IMAGE}",
        ["ARG BASE_IMAGE=a:1", "FROM ${BASE_IMAGE} AS interop-task"],
    ),
    (
        "FROM a\nCOPY . .\nCOPY --chown=1:1 ./b ../c/$D /e /f/\nADD https://x.test/y git@x.test:y z /w/",
        [
            "ARG BASE_IMAGE=a",
            "FROM ${BASE_IMAGE} AS interop-task",
            "COPY in/ .",
            "COPY --chown=1:1 in/b in/c/$D in/e /f/",
            "ADD https://x.test/y git@x.test:y in/z /w/",
        ],
    ),
    (
        'FROM a\nCOPY ["b c", "/d e/"]\nRUN one \\\n  # why\n  && two\nRUN --mount=type=cache,target=/x y',
        [
            "ARG BASE_IMAGE=a",
            "FROM ${BASE_IMAGE} AS interop-task",
            'COPY ["in/b c", "/d e/"]',
            "RUN one   && two",
            "RUN --mount=type=cache,target=/x y",
        ],
    ),
]


@pytest.mark.parametrize(("text", "lines"), REBASED)
def test_a_dockerfile_goes_on(text: str, lines: list[str]) -> None:
    """It says the same of a context that has its own in a directory, and begins with a build argument."""
    assert rebased("Dockerfile", text, "in").text.splitlines() == lines


def test_another_base() -> None:
    """A base that was asked for is the argument's default, also where the Dockerfile has that argument."""
    assert rebased("Dockerfile", "FROM a AS x", "in", "b:2").text == "ARG BASE_IMAGE=b:2\nFROM ${BASE_IMAGE} AS x\n"
    own = rebased("Dockerfile", "ARG BASE_IMAGE=a\nFROM $BASE_IMAGE", "in", "b:2")
    assert own.text.splitlines()[:2] == ["ARG BASE_IMAGE=a", "ARG BASE_IMAGE=b:2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RUN x", "Dockerfile: there is no FROM"),
        ("FROM a\nRUN <<END\nx\nEND", "line 2: RUN <<END (a here-document): it cannot be carried over"),
        ("FROM a\nONBUILD RUN x", "line 2: ONBUILD RUN x: it would be done to the hub's stages"),
        ("FROM a\nRUN --mount=type=bind,target=/x y", "line 2: .* a mount of the context cannot be carried over"),
        ("# escape=`\nFROM a", "another escape character"),
    ],
)
def test_a_dockerfile_that_cannot_go_on(text: str, message: str) -> None:
    """The error has the line and the way out."""
    with pytest.raises(SourceError, match=message.replace("(", r"\(").replace(")", r"\)")):
        rebased("Dockerfile", text, "in")


def test_what_the_context_leaves_out() -> None:
    """Patterns of `.dockerignore` hold for the directory alone."""
    assert ignored("# all\n*.pyc\n\n/b\n!keep.pyc\n**/c", "in") == ["in/*.pyc", "in/b", "!in/keep.pyc", "in/**/c"]


# Tasks


REFUSED: list[tuple[dict[str, str], str, str]] = [
    # more files, more of task.toml, words of the error
    ({"environment/docker-compose.yaml": "services: {}"}, "", "environment/docker-compose.yaml has services beside it"),
    ({"tests/test.bat": ""}, '[environment]\nos = "windows"', "environment.os is 'windows'"),
    ({}, "[environment]\ngpus = 1", "environment.gpus is 1, which a container cannot give itself"),
    ({}, '[environment]\nnetwork_mode = "no-network"', "environment.network_mode is 'no-network', which a container"),
    ({}, '[verifier]\nnetwork_mode = "allowlist"', "verifier.network_mode is 'allowlist'"),
    ({}, "[environment]\nallow_internet = false", "environment.network_mode is 'no-network'"),
    ({}, '[verifier]\nenvironment_mode = "separate"', "the verifier has a container of its own"),
    ({}, '[verifier.environment]\ndocker_image = "x"', "the verifier has a container of its own"),
    (
        {"steps/a/instruction.md": "x"},
        '[[steps]]\nname = "a"\nverifier.environment_mode = "separate"',
        "steps[0].verifier.environment_mode is 'separate'",
    ),
    ({}, '[[verifier.collect]]\ncommand = "x"\nservice = "db"', "service = 'db' is another container"),
]


@pytest.mark.parametrize(("files", "more", "message"), REFUSED)
def test_tasks_that_cannot_be_an_image(files: dict[str, str], more: str, message: str, tmp_path: Path) -> None:
    """What one container cannot have is said, and where such a task is played."""
    path = make(tmp_path / "it", {**files, "tests/test.sh": "true", "steps/a/tests/test.sh": "true"}, more=more)
    with pytest.raises(SourceError) as caught:
        task_image(str(path), load(str(path)), {})
    assert str(caught.value).startswith("org/made cannot be played in one image: ")
    assert message in str(caught.value)
    assert str(caught.value).endswith(f"interop serve harbor:{path} --sandbox docker")


def test_several_tasks() -> None:
    """An image plays one: the error names some, to write a package of each."""
    with pytest.raises(SourceError) as caught:
        task_image(str(TASKS), load(str(TASKS)), {})
    count = len(load(str(TASKS))["test"])
    assert f"harbor:{TASKS} has {count} tasks, and an image plays one; write a package of each: " in str(caught.value)
    assert str(TASKS / "agent-timeout") in str(caught.value)
    assert str(caught.value).endswith(", ...")


@pytest.mark.parametrize("key", ["trials", "rootfs", "network"])
def test_arguments_of_this_machine(key: str) -> None:
    """What is for the sandbox of this machine is not left out without a word."""
    with pytest.raises(SourceError, match=f"{key} has no place in an image, where the task is played; leave it out"):
        task_image("hello", load(str(TASKS / "hello")), {key: "x"})


def test_what_a_task_says_of_itself(tmp_path: Path) -> None:
    """Its resources, and the time of its agents and verifiers, which is unknown where one has no limit."""
    limits = "[verifier]\ntimeout_sec = 30\n[environment]\nmemory_mb = 4096\ncpus = 2\n"
    path = make(tmp_path / "it", more=limits)
    said = task_image("it", load(str(path)), {"reward_key": "a b", "agent_timeout": None})
    assert (said.name, said.memory_mb, said.cpus, said.seconds) == ("made", 4096, 2.0, 90.0)
    assert said.query == "?reward_key=a+b"
    steps = task_image("steps", load(str(TASKS / "multi-step")), {})
    assert steps.seconds == 30 + 60 + 60 + 3 * 60
    unlimited = replace(said.task, config={**said.task.config, "agent": {}})
    assert TaskImage(unlimited).seconds is None


def test_an_image_that_is_there_already() -> None:
    """It is what all begins with, and what stands in environment/ is for harbor to copy."""
    prebuilt = task_image("prebuilt", load(str(TASKS / "prebuilt")), {})
    text = "ARG BASE_IMAGE=python:3.13-slim\nFROM ${BASE_IMAGE} AS interop-task\n"
    assert prebuilt.stages("source", None) == (text, "interop-task")
    assert prebuilt.copies("source", "/to") == 'COPY ["source/prebuilt", "/to/prebuilt"]\n'


def test_what_verifiers_take_of_the_host() -> None:
    """Variables that a verifier's table names are those that commands must not have."""
    (task,) = load(str(TASKS / "secret"))["test"]
    assert secrets(task.config) == {"INTEROP_TEST_GRADER_TOKEN"}
    steps = [{"verifier": {"env": {"A": "${KEY}", "B": "plain", "C": "x${NO}"}}}]
    assert secrets({"steps": steps}) == {"KEY"}


def test_without_harbor(tmp_path: Path) -> None:
    """The error says what to install, and nothing is written."""
    with pytest.raises(SourceError, match=r"harbor is not installed .*pip install 'openenv-interop\[harbor\]'"):
        write(f"harbor:{TASKS / 'hello'}", tmp_path / "out")
    assert not (tmp_path / "out").exists()
