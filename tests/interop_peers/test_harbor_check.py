"""`interop check-tasks` with harbor itself, in the namespace sandbox and in Docker; and our reader beside harbor's."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from converters.harbor.config import TASK
from converters.harbor.tasks import read
from tests.cli.program import ENVIRONMENT
from tests.harbor.made import make
from tests.interop_peers.conftest import HERE, ROOT

TASKS = ROOT / "tests/harbor_tasks"
EXPECTED = tomllib.loads((TASKS / "expected.toml").read_text())
OLDER = (
    "version",
    *(f"{place}environment.{name}" for place in ("", "verifier.", "steps.verifier.") for name in ("memory", "storage")),
)
"""What harbor renames before its model sees it."""


@pytest.fixture(scope="module")
def harbor(peer: Callable[..., Path]) -> Path:
    """The Python that has harbor and the hub."""
    return peer("0.26.0", "harbor")


def check(python: Path, target: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the tasks by the names of their directories."""
    command = [str(python), "-m", "interop", "check-tasks", f"harbor:{target}", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=ENVIRONMENT)
    assert done.stdout, done.stderr
    return done.returncode, {Path(task["path"]).name: task for task in json.loads(done.stdout)["tasks"]}


def linked(directory: Path, names: Iterable[str]) -> Path:
    """A directory with some of our tasks."""
    directory.mkdir()
    for name in names:
        (directory / name).symlink_to(TASKS / name)
    return directory


def assert_as_expected(tasks: dict[str, Any]) -> None:
    for name, task in tasks.items():
        for agent in ("oracle", "nop"):
            expected = EXPECTED[name].get(agent), EXPECTED[name].get(f"{agent}_error")
            error = task[agent]["error"]
            assert (task[agent]["rewards"], error and error.partition(":")[0]) == expected, (name, agent, task[agent])
        assert task["sound"] == EXPECTED[name]["sound"], (name, task["findings"])


def test_tasks_are_judged(harbor: Path, tmp_path: Path) -> None:
    """The rewards of the solution and of doing nothing are harbor's, and the verdicts follow from them."""
    some = ("hello", "multi-step", "bad-verifier", "agent-timeout", "partial")
    code, tasks = check(harbor, linked(tmp_path / "tasks", some), "--sandbox", "namespace")
    assert (code, set(tasks)) == (1, set(some))
    assert_as_expected(tasks)
    rules = {name: [it["rule"] for it in task["findings"]] for name, task in tasks.items() if task["findings"]}
    assert rules == {
        "agent-timeout": ["oracle-timeout"],
        "bad-verifier": ["reward-unwritten", "oracle-fails", "nop-fails"],
        "partial": ["oracle-below-one"],
    }
    (_, solution, _) = tasks["bad-verifier"]["findings"]
    reason = "RewardFileNotFoundError: No reward file found at verifier/reward.txt or verifier/reward.json"
    assert solution["message"] == f"the solution has no reward: {reason}; output: the grader is not at home"


UNSOUND = {
    # task: its changes, more of task.toml, the finding, words of it
    "wrong-solution": (
        {"solution/solve.sh": "#!/bin/bash\necho oops\n"},
        "",
        "oracle-not-better",
        "the solution has 0, doing nothing has 0; output: oops",
    ),
    "solution-less": ({"solution/solve.sh": None}, "", "oracle-not-better", "Solution script not found"),
    "content": (
        {"tests/test.sh": "echo 1 > /logs/verifier/reward.txt"},
        "",
        "oracle-not-better",
        "doing nothing has 1",
    ),
    "crashing": (
        {"tests/test.sh": "cat /app/one.txt && echo 1 > /logs/verifier/reward.txt"},
        "",
        "nop-fails",
        "RewardFileNotFoundError: No reward file found at verifier/reward.txt or verifier/reward.json; output: cat:",
    ),
    "no-number": (
        {"tests/test.sh": "echo good > /logs/verifier/reward.txt"},
        "",
        "oracle-fails",
        "VerifierOutputParse",
    ),
    "unbuilt": (
        {"environment/Dockerfile": "FROM python:3.13-slim\nRUN echo broken && false\n"},
        "",
        "oracle-fails",
        "SandboxBuildFailedError",
    ),
    "unhealthy": (
        {},
        '[environment.healthcheck]\ncommand = "exit 3"\ninterval_sec = 0.1\nretries = 1\n',
        "oracle-fails",
        "HealthcheckError",
    ),
    "gated": (
        {"steps/a/instruction.md": "a", "steps/b/instruction.md": "b"},
        'multi_step = 1\n[[steps]]\nname = "a"\nmin_reward = { style = 1 }\n[[steps]]\nname = "b"\n',
        "oracle-ends-early",
        "step 'a', 1 of 2",
    ),
    "misspelt": ({}, "timeout_secs = 4\n", "config-unknown", "agent.timeout_secs is no field"),
    "refused": ({}, '[environment]\nnetwork_mode = "none"\n', "config-type", "environment.network_mode is 'none'"),
}


def test_unsound_tasks_are_caught(harbor: Path, tmp_path: Path) -> None:
    """Each task with a defect has the finding that says it; the good one beside them has none."""
    made = tmp_path / "tasks"
    make(made / "good", {"task.toml": ""}, more="[agent]\ntimeout_sec = 60\n")
    for name, (changes, more, *_) in UNSOUND.items():
        make(made / name, {"task.toml": "", **changes}, more=f"[agent]\ntimeout_sec = 60\n{more}")
    code, tasks = check(harbor, made, "--sandbox", "namespace")
    assert code == 1
    assert [name for name, task in tasks.items() if task["sound"]] == ["good"]
    for name, (_, _, rule, words) in UNSOUND.items():
        messages = [it["message"] for it in tasks[name]["findings"] if it["rule"] == rule]
        assert len(messages) == 1, (name, tasks[name])
        assert words in messages[0], name
    assert "oracle" not in tasks["refused"]


def test_what_no_sandbox_can_play_is_no_crash(harbor: Path, tmp_path: Path) -> None:
    """A task that harbor refuses for a sandbox is a finding of that task alone."""
    make(
        tmp_path / "tasks/allowed",
        {"task.toml": ""},
        more='[agent]\nnetwork_mode = "allowlist"\nallowed_hosts = ["a.b"]\n',
    )
    code, tasks = check(harbor, tmp_path / "tasks", "--sandbox", "namespace")
    assert (code, tasks["allowed"]["sound"]) == (1, False)
    rules = {it["rule"]: it["message"] for it in tasks["allowed"]["findings"]}
    assert "allowlist" in rules["oracle-fails"]
    assert "allowlist" in rules["sandbox-namespace"]


@pytest.mark.slow
def test_all_tasks_in_namespaces(harbor: Path) -> None:
    """All our tasks give in the namespace sandbox what they are made to give."""
    code, tasks = check(harbor, TASKS, "--sandbox", "namespace")
    assert (code, set(tasks)) == (1, set(EXPECTED))
    assert_as_expected(tasks)


@pytest.mark.docker
@pytest.mark.slow  # each task by two agents
@pytest.mark.timeout(900)
def test_all_tasks_in_docker(harbor: Path) -> None:
    """All our tasks give in Docker what they give in namespaces."""
    code, tasks = check(harbor, TASKS, "--sandbox", "docker")
    assert (code, set(tasks)) == (1, set(EXPECTED))
    assert_as_expected(tasks)


# The reader


@pytest.fixture(scope="module")
def harbors_own(harbor: Path) -> Any:
    """What harbor says of its fields and of our tasks."""
    done = subprocess.run([harbor, HERE / "harbor_fields.py", TASKS], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_fields_are_harbors(harbors_own: Any) -> None:
    """Our table of task.toml has the fields of harbor's models, with the same ones required."""
    assert dict(_ours(TASK)) == dict(_theirs(harbors_own["fields"]))


def _ours(table: dict[str, Any], place: str = "") -> Iterable[tuple[str, bool]]:
    for name, kind in table.items():
        key = place + name.removesuffix("!")
        if key in OLDER:
            continue
        yield key, name.endswith("!")
        kind = kind[0] if isinstance(kind, list) else kind
        tables = [it for it in (kind if isinstance(kind, tuple) else [kind]) if isinstance(it, dict)]
        for it in tables:
            if set(it) != {"*"}:
                yield from _ours(it, f"{key}.")


def _theirs(fields: dict[str, Any], place: str = "") -> Iterable[tuple[str, bool]]:
    for name, field in fields.items():
        yield place + name, field["required"]
        if field["fields"]:
            yield from _theirs(field["fields"], f"{place}{name}.")


def test_tasks_are_read_as_harbor_reads_them(harbors_own: Any) -> None:
    """Names, steps and instructions of our tasks are those that harbor reads."""
    ours = {path.parent.name: read(path.parent) for path in TASKS.glob("*/task.toml")}
    assert harbors_own["tasks"] == {
        name: {"name": task.name, "steps": list(task.steps), "instruction": task.instruction}
        for name, task in ours.items()
    }
