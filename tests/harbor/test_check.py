"""The verdict on harbor tasks, from runs that are given, and the program without harbor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from converters.harbor.check import check
from converters.harbor.judge import Run, judge, shown
from converters.harbor.tasks import read
from interop.cli import main
from tests.harbor.made import make

TASKS = Path(__file__).parent.parent / "harbor_tasks"
LATE = "AgentTimeoutError: 3 s"


def ran(agent: str, rewards: Mapping[str, float] | None, error: str | None = None, steps: int = 0) -> Run:
    return Run(agent=agent, rewards=rewards, error=error, steps=steps, log=("said",))


@pytest.mark.parametrize(
    ("oracle", "nop", "rules"),
    [
        # One reward, or one that is named so
        ({"reward": 1}, {"reward": 0}, []),
        ({"reward": 1}, {"reward": 0.9}, []),
        ({"reward": 5, "a": 0}, {"reward": -1, "a": 1}, []),
        ({"score": 1}, {"score": 0}, []),
        ({"reward": 0.5}, {"reward": 0}, ["oracle-below-one"]),
        ({"reward": 0.5, "a": 0}, {"reward": 0}, ["oracle-below-one"]),
        ({"reward": 0}, {"reward": 0}, ["oracle-not-better"]),
        ({"reward": 1}, {"reward": 1}, ["oracle-not-better"]),
        ({"reward": 0}, {"reward": 1}, ["oracle-not-better"]),
        # Several, none of them named so
        ({"a": 1, "b": 1}, {"a": 0, "b": 1}, []),
        ({"a": 1, "b": 1}, {"a": 0}, []),
        ({"a": 1, "b": 0.5}, {"a": 0, "b": 0}, ["oracle-below-one"]),
        ({"a": 1, "b": 0}, {"a": 0, "b": 1}, ["oracle-not-better"]),
        ({"a": 1, "b": 1}, {"a": 1, "b": 1}, ["oracle-not-better"]),
        # None that is valid
        (None, {"reward": 0}, ["oracle-fails"]),
        ({}, {"reward": 0}, ["oracle-fails"]),
        ({"reward": 1}, None, ["nop-fails"]),
        (None, None, ["oracle-fails", "nop-fails"]),
    ],
)
def test_the_verdict(oracle: Mapping[str, float] | None, nop: Mapping[str, float] | None, rules: list[str]) -> None:
    """A solution is graded, and better than doing nothing, which is graded too."""
    found = list(judge(read(TASKS / "hello"), ran("oracle", oracle), ran("nop", nop)))
    assert [it.rule for it in found] == rules
    assert {it.severity for it in found} <= ({"warning"} if rules == ["oracle-below-one"] else {"error"})


def test_a_solution_ends_all_steps_in_time() -> None:
    """A solution that is late, or that ends before the last step, makes a task unsound whatever its reward is."""
    task, nop = read(TASKS / "multi-step"), ran("nop", {"reward": 0}, steps=1)
    assert list(judge(task, ran("oracle", {"reward": 1}, steps=3), nop)) == []
    (late,) = judge(task, ran("oracle", {"reward": 1}, LATE, 3), nop)
    assert (late.rule, late.message) == ("oracle-timeout", f"the solution is not done in time: {LATE}")
    (early,) = judge(task, ran("oracle", {"reward": 1}, steps=2), nop)
    assert early.rule == "oracle-ends-early"
    assert early.message == "the solution ends with step 'build', 2 of 3: it has 1; output: said"


@pytest.mark.parametrize(
    ("rewards", "text"),
    [(None, "none"), ({}, "none"), ({"reward": 0.25}, "0.25"), ({"a": 1.0, "b": -2}, "a 1, b -2")],
)
def test_rewards_are_shown_in_short(rewards: Mapping[str, float] | None, text: str) -> None:
    """A reward alone is its number, others have their names."""
    assert shown(rewards) == text


def test_a_set_is_looked_at_without_harbor(tmp_path: Path) -> None:
    """Each task of a set has its own verdict, also one that cannot be read; names must differ."""
    make(
        tmp_path / "a",
        {"environment/Dockerfile": "FROM x\nRUN apt-get update\n", "tests/test.sh": "curl a.b > reward.txt"},
    )
    make(tmp_path / "b", {"task.toml": "?"})
    make(tmp_path / "c")
    make(tmp_path / "d", {"task.toml": ""}, more="[agent]\ntimeout_sec = 5\n")
    checked = {it.path.name: it for it in check(str(tmp_path), static=True)}
    assert {name: it.sound for name, it in checked.items()} == {"a": True, "b": False, "c": False, "d": True}
    assert [it.rule for it in checked["c"].findings] == ["name-taken"]
    assert checked["a"].internet == ["build", "verify"]
    assert (checked["d"].name, checked["d"].split, checked["d"].runs) == ("d", "test", {})


def program(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["check-tasks", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_program_without_harbor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It succeeds where nothing is wrong, and fails with the finding, its place and the way out where something is."""
    make(tmp_path / "good")
    code, out, err = program(capsys, f"harbor:{tmp_path}", "--static")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split() == ["org/made", "ok", "not", "played"]
    assert out.splitlines()[-1].split(maxsplit=1) == ["verdict", "no file of the 1 task is wrong; none was played"]
    make(tmp_path / "bad", {"task.toml": ""}, more="[agent]\ntimeout_sec = 5\nmin_reward = 1\n")
    code, out, err = program(capsys, f"harbor:{tmp_path}", "--static")
    assert (code, err) == (1, "")
    assert out.splitlines()[1].split() == ["bad", "1", "error", "not", "sound"]
    assert "seen            task.toml:3: agent.min_reward is no field that harbor reads: it has no effect" in out
    assert "verdict         not sound: 1 of 2: bad" in out


def test_notes_of_a_rule_are_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of many notes the first is shown with the number of the others."""
    make(tmp_path, {"environment/Dockerfile": "FROM x\nRUN apt-get update\nRUN pip install a\nRUN npm ci\n"})
    code, out, _ = program(capsys, f"harbor:{tmp_path}", "--static")
    seen = "environment/Dockerfile:2: apt-get update needs the internet when the image is built"
    assert code == 0
    assert f"seen            {seen} (and 2 more, which --json shows)" in out
    assert out.count("org/made: internet") == 1


def test_the_program_says_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one document with all that is known."""
    code, out, err = program(capsys, f"harbor:{TASKS / 'bad-verifier'}", "--static", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    (task,) = document["tasks"]
    assert (document["sound"], task["name"], task["split"]) == (True, "interop/bad-verifier", "test")
    (found,) = task["findings"]
    assert (found["rule"], found["severity"], found["file"]) == ("reward-unwritten", "warning", "tests")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["gym:CartPole-v1"], "'gym:CartPole-v1' names no harbor tasks; accepted is harbor:PATH"),
        (["harbor:x?data=y"], "'harbor:x?data=y' names no harbor tasks"),
        (["harbor:/nothing"], "/nothing does not exist; name a task directory"),
        ([f"harbor:{TASKS}?dataset=x"], f"{TASKS} is a directory: it has no dataset 'x'"),
        ([f"harbor:{TASKS}"], "playing tasks needs harbor: harbor is not installed"),
        ([f"harbor:{TASKS}", "--sandbox", "x"], "Invalid value for '--sandbox'"),
    ],
)
def test_what_a_user_can_get_wrong(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Targets that are none, and harbor that is missing, are one line on stderr and exit code 2."""
    code, out, err = program(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {error}")
    assert err.count("\n") == 1
