"""Harbor tasks as data: directories, registries, and what an agent may see."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from converters.harbor.config import lines
from converters.harbor.tasks import load, read, without_canary
from interop.errors import SourceError
from tests.harbor.made import CONFIG, make

TASKS = Path(__file__).parent.parent / "harbor_tasks"
STEPS = """
[[steps]]
name = "first"
agent.timeout_sec = 5

[[steps]]
name = "second"
"""


# Directories


def test_a_directory_of_tasks_is_one_split() -> None:
    """The tasks of a directory are the split test, by the names of their directories; a single task is a split too."""
    expected = tomllib.loads((TASKS / "expected.toml").read_text())
    splits = load(str(TASKS))
    assert {split: [task.path.name for task in tasks] for split, tasks in splits.items()} == {"test": sorted(expected)}
    assert [task.name for task in load(str(TASKS / "hello"))["test"]] == ["interop/hello"]


def test_a_task_is_read_as_harbor_reads_it(tmp_path: Path) -> None:
    """The name is that of the directory if the file has none; the first instruction is the first step's."""
    plain = read(make(tmp_path / "plain", {"task.toml": ""}))
    assert (plain.name, plain.instruction, plain.steps) == ("plain", "Write one.txt.\n", ())
    stepped = read(TASKS / "multi-step")
    assert stepped.steps == ("plan", "build", "report")
    assert stepped.instruction == "Write the word `multiply` into `plan.txt`.\n"
    assert read(TASKS / "hello").instruction.startswith("Write `Hello, world!`")


def test_an_agent_sees_nothing_private(tmp_path: Path) -> None:
    """The public form has these keys alone, and nothing of answers, secrets, metadata and later steps."""
    secret = "do-not-show"
    config = f"""
multi_step_reward_strategy = "final"
artifacts = ["/{secret}"]
[task]
name = "org/steps"
description = "Said."
keywords = ["a"]
authors = [{{ name = "{secret}" }}]
[metadata]
answer = "{secret}"
[agent]
timeout_sec = 60
[verifier.env]
TOKEN = "{secret}"
[solution.env]
TOKEN = "{secret}"
[environment]
network_mode = "no-network"
env = {{ TOKEN = "{secret}" }}
healthcheck = {{ command = "{secret}" }}
{STEPS}"""
    private = (
        "steps/second/instruction.md",
        "steps/first/tests/test.sh",
        "steps/first/solution/solve.sh",
        "tests/test.sh",
    )
    files = {"task.toml": config, "steps/first/instruction.md": "Begin.", **dict.fromkeys(private, secret)}
    public = read(make(tmp_path, files)).public()
    assert public == {
        "id": "org/steps",
        "instruction": "Begin.",
        "description": "Said.",
        "keywords": ["a"],
        "steps": 2,
        "agent_timeouts_sec": [5, 60],
        "network": "no-network",
    }
    assert secret not in json.dumps(public)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("<!-- a CANARY GUID 1 -->\n# canary 2\n\n\nDo it.\n", "Do it.\n"),
        ("Do it.\n<!-- canary -->\n", "Do it.\n<!-- canary -->\n"),
        ("# Canaries\nsing\n", "# Canaries\nsing\n"),
        ("\n# Title\n", "# Title\n"),
        ("Find the # canary.\n", "Find the # canary.\n"),
        ("<!-- canary -->", ""),
    ],
)
def test_canaries_are_not_shown(said: str, shown: str) -> None:
    """Only comments at the top that name a canary go, and the empty lines after them."""
    assert without_canary(said) == shown


BAD = [
    ({"task.toml": None}, "", "is no task: task.toml is missing"),
    ({"instruction.md": None}, "", "is no task: instruction.md is missing"),
    ({"environment/Dockerfile": None}, "", "environment/Dockerfile is missing"),
    ({"tests/test.sh": None}, "", "tests/test.sh is missing"),
    ({}, STEPS, "steps/first/instruction.md, steps/second/instruction.md is missing"),
    ({"task.toml": 'schema_version = "1.4"\n[task\n'}, "", "task.toml is no TOML: Expected ']'"),
    ({}, '[verifier]\ntimeout_sec = "60"\n', "task.toml: verifier.timeout_sec is '60'; accepted is a number"),
    ({}, "[environment]\nmemory_mb = 1.5\n", "environment.memory_mb is 1.5; accepted is a number"),
    ({}, '[environment]\nnetwork_mode = "none"\n', "is 'none'; accepted is allowlist or no-network or public"),
    ({}, "[environment]\nenv = { A = 1 }\n", "environment.env.A is 1; accepted is a string"),
    ({}, "[environment.healthcheck]\nretries = 1\n", "environment.healthcheck.command is missing"),
    ({}, "[[steps]]\nname = 1\n", "steps[0].name is 1; accepted is a string"),
    ({}, '[[steps]]\nname = "a"\nmin_reward = "1"\n', "steps[0].min_reward is '1'; accepted is a number or a table"),
    ({"task.toml": "artifacts = [1]\n" + CONFIG}, "", "artifacts[0] is 1; accepted is a string or a table"),
    ({"task.toml": "agent = 3\n"}, "", "agent is 3; accepted is a table"),
    ({"task.toml": "steps = {}\n"}, "", "steps is {}; accepted is a list"),
    ({"task.toml": CONFIG + "# \xff"}, "", None),
]


@pytest.mark.parametrize(("changes", "more", "message"), BAD)
def test_what_is_wrong_with_a_task_is_named(
    tmp_path: Path, changes: dict[str, str | None], more: str, message: str | None
) -> None:
    """A task that lacks a file, or says what harbor refuses, is an error that names the file and the key."""
    path = make(tmp_path / "made", changes, more=more)
    if message is None:
        assert read(path).name == "org/made"
        return
    with pytest.raises(SourceError) as caught:
        load(str(path))
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_link_out_of_the_task_is_refused(tmp_path: Path) -> None:
    """An instruction that is a link to a file of this machine is not read."""
    path = make(tmp_path / "made", {"instruction.md": None})
    (tmp_path / "private").write_text("private")
    (path / "instruction.md").symlink_to(tmp_path / "private")
    with pytest.raises(SourceError, match="leads out of the task"):
        read(path)


def test_what_has_no_tasks_is_refused(tmp_path: Path) -> None:
    """A directory without tasks, one that is not there, two tasks of one name, and a dataset of a directory."""
    with pytest.raises(SourceError, match="has no tasks: neither it nor a directory in it"):
        load(str(tmp_path))
    with pytest.raises(SourceError, match="does not exist; name a task directory"):
        load(str(tmp_path / "nothing"))
    make(tmp_path / "set/a")
    with pytest.raises(SourceError, match="it has no dataset 'x'"):
        load(str(tmp_path / "set"), dataset="x")
    make(tmp_path / "set/b")
    with pytest.raises(SourceError, match="are both named 'org/made'; rename one"):
        load(str(tmp_path / "set"))
    make(tmp_path / "set/c", {"task.toml": None})
    with pytest.raises(SourceError, match="c is no task"):
        load(str(tmp_path / "set"))


def test_other_directories_beside_tasks_are_none(tmp_path: Path) -> None:
    """A directory without the marks of a task is something else."""
    make(tmp_path / "a")
    for name in (".git/objects", "docs/tests", "assets"):
        (tmp_path / name).mkdir(parents=True)
    assert [task.path.name for task in load(str(tmp_path))["test"]] == ["a"]


def test_lines_of_keys() -> None:
    """Each key has its line, through headers, lists of tables, dotted keys and texts of many lines."""
    text = '''a = 1 # [no]
"b c".d = """
[text]
x = 1
"""
[t] # header
e = 2
[[s]]
n = 1
[s.u]
v = 1
[[s]]
n = 2
'''
    assert lines(text) == {
        ("a",): 1,
        ("b c", "d"): 2,
        ("t",): 6,
        ("t", "e"): 7,
        ("s", 0): 8,
        ("s", 0, "n"): 9,
        ("s", 0, "u"): 10,
        ("s", 0, "u", "v"): 11,
        ("s", 1): 12,
        ("s", 1, "n"): 13,
    }


# Registries


def entry(name: str, version: str, *tasks: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": version, "description": "", "tasks": list(tasks)}


def registry(path: Path, *datasets: Any) -> str:
    file = path / "registry.json"
    file.write_text(json.dumps(datasets))
    return str(file)


def test_datasets_are_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset with one version is a split by its name, others are by name and version; one of them can be chosen."""
    for name in ("one", "two"):
        make(tmp_path / name, {"task.toml": ""})
    monkeypatch.chdir(tmp_path)
    local = {name: {"name": name, "path": path} for name, path in (("one", "one"), ("two", str(tmp_path / "two")))}
    file = registry(
        tmp_path,
        entry("x", "1.0", local["two"], local["one"]),
        entry("y", "1", local["one"]),
        entry("y", "2", local["two"]),
    )

    def names(dataset: str | None = None) -> dict[str, list[str]]:
        return {split: [task.name for task in tasks] for split, tasks in load(file, dataset).items()}

    assert names() == {"x": ["two", "one"], "y@1": ["one"], "y@2": ["two"]}
    assert names("x") == {"x": ["two", "one"]}
    assert names("x@1.0") == {"x@1.0": ["two", "one"]}
    assert names("y@2") == {"y@2": ["two"]}
    for wrong in ("y", "x@2", "z"):
        with pytest.raises(SourceError, match=rf"no dataset '{wrong}'; accepted are x@1.0, y@1, y@2"):
            load(file, wrong)


ONE = {"name": "a", "path": "a"}


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({}, "accepted is a list of datasets"),
        ([1], "[0] is 1; accepted is an object"),
        ([{"name": "x", "version": 1}], "[0].version is 1; accepted is a string"),
        ([entry("x", "1")], "[0].tasks: accepted is a list of one task or more"),
        ([entry("x", "1", {"name": "a"})], "[0].tasks[0].path is None; accepted is a string"),
        ([entry("x", "1", {**ONE, "git_url": 5})], "[0].tasks[0].git_url is 5; accepted is a string"),
        ([entry("x", "1", ONE), entry("x", "1", ONE)], "[1]: there is a dataset x@1 already"),
        ([entry("x", "1", ONE)], "dataset x: task a: there is no directory"),
        ([entry("x", "1", {"name": "a", "path": "../a", "git_url": "file:///x"})], "../a is not inside the repository"),
        ([entry("x", "1", {**ONE, "git_url": "file:///nothing"})], "git ls-remote -- file:///nothing HEAD"),
        ([entry("x", "1", {**ONE, "git_url": "file:///x"}), entry("y", "1", ONE)], "say which dataset is fetched"),
    ],
)
def test_what_is_wrong_with_a_registry_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, datasets: Any, message: str
) -> None:
    """A registry that makes no sense is an error that names the place."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "registry.json"
    file.write_text(json.dumps(datasets))
    with pytest.raises(SourceError) as caught:
        load(str(file))
    assert message in str(caught.value)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with two tasks, a tag on its first commit, and an own cache for clones."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "repository"
    for name in ("tasks/a", "tasks/b", "other/c"):
        make(path / name, {"task.toml": "", "instruction.md": "first"})
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "config", "uploadpack.allowFilter", "true")
    git(path, "config", "uploadpack.allowAnySHA1InWant", "true")
    commit(path)
    git(path, "tag", "-m", "v1", "v1")
    (path / "tasks/a/instruction.md").write_text("second")
    commit(path)
    return path


def commit(path: Path) -> None:
    git(path, "add", "--all")
    git(path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "c")


def git(path: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(path), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_tasks_come_from_git(repository: Path) -> None:
    """A commit, a tag, a branch and nothing at all name what is read; only the tasks' own files are fetched."""
    url = f"file://{repository}"
    first = git(repository, "rev-parse", "HEAD~")
    for name, instruction in ((first, "first"), ("v1", "first"), ("main", "second"), (None, "second")):
        task = {"name": "a", "path": "tasks/a", "git_url": url, "git_commit_id": name}
        (found,) = load(registry(repository.parent, entry("x", "1", task)))["x"]
        assert found.instruction == instruction, name
        assert sorted(it.name for it in found.path.parent.iterdir()) == ["a"]
        assert sorted(it.name for it in found.path.parents[1].iterdir()) == [".git", "tasks"]
    task["git_commit_id"] = "v2"
    with pytest.raises(SourceError, match="has no branch or tag 'v2'; accepted is one of them, or a full commit hash"):
        load(registry(repository.parent, entry("x", "1", task)))


def test_a_commit_in_the_cache_needs_no_repository(repository: Path) -> None:
    """Tasks of a commit that was fetched once are read without the repository, others are an error."""
    head = git(repository, "rev-parse", "HEAD")
    both = [
        {"name": name, "path": f"tasks/{name}", "git_url": f"file://{repository}", "git_commit_id": head}
        for name in ("a", "b")
    ]
    file = registry(repository.parent, entry("x", "1", *both))
    paths = [task.path for task in load(file)["x"]]
    assert [path.name for path in paths] == ["a", "b"]
    assert len({path.parents[1] for path in paths}) == 1
    shutil.rmtree(repository)
    assert [task.path for task in load(file)["x"]] == paths
    both[0]["git_commit_id"] = head[::-1]
    with pytest.raises(SourceError, match=r"does not (appear|exist)"):
        load(registry(repository.parent, entry("x", "1", *both)))
    assert not list((repository.parent / "cache").rglob(".making-*"))
