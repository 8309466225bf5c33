"""What lint finds in a harbor task, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.harbor.internet import found_in, logical_lines
from converters.harbor.lint import RULES, lint
from tests.harbor.made import CONFIG, GOOD, make
from tests.harbor.test_tasks import BAD

TASKS = Path(__file__).parent.parent / "harbor_tasks"
STEP = '[[steps]]\nname = "one"\nagent.timeout_sec = 5\n'
IN_STEP = {"steps/one/instruction.md": "x", "steps/one/solution/solve.sh": "x"}
OFFLINE = '[environment]\nnetwork_mode = "no-network"\n'
MCP = '[[environment.mcp_servers]]\nname = "a"\n'
BOTH = {"environment/solve.sh": GOOD["solution/solve.sh"]}

FOUND = [
    # changes, more of task.toml, rule, file, line, words of the message or of the fix
    ({"task.toml": "a = [\n"}, "", "config-toml", "task.toml", 2, "is no TOML"),
    ({"task.toml": "x = 1\ny = ?\n"}, "", "config-toml", "task.toml", 2, "is no TOML"),
    ({}, '[verifier]\ntimeout_sec = "6"\n', "config-type", "task.toml", 9, "verifier.timeout_sec is '6'"),
    ({}, "[verifier]\n[verifier.env]\nA = 1\n", "config-type", "task.toml", 10, "verifier.env.A is 1"),
    ({}, "timeout_seconds = 5\n", "config-unknown", "task.toml", 8, "write timeout_sec"),
    ({}, "[environment]\nmemry_mb = 5\n", "config-unknown", "task.toml", 9, "write memory_mb"),
    ({}, "[verifyer]\n", "config-unknown", "task.toml", 8, "write verifier"),
    ({}, "[solution]\nquickly = true\n", "config-unknown", "task.toml", 9, "accepted are env"),
    (
        {},
        "[verifier]\n[[verifier.collect]]\ncommand = 'a'\nuzer = 'x'\n",
        "config-unknown",
        "task.toml",
        11,
        "write user",
    ),
    (IN_STEP, STEP + "min_rewards = 1\n", "config-unknown", "task.toml", 11, "write min_reward"),
    ({"task.toml": CONFIG.replace("org/made", "made")}, "", "config-value", "task.toml", 4, "org/name"),
    ({"task.toml": 'multi_step_reward_strategy = "mean"\n' + CONFIG}, "", "config-value", "task.toml", 1, "no steps"),
    (IN_STEP, STEP + STEP, "config-value", "task.toml", 12, "no other step"),
    ({"steps/../x/instruction.md": "x"}, '[[steps]]\nname = "../x"\n', "config-value", "task.toml", 9, "file name"),
    ({}, '[environment]\nallowed_hosts = ["a.b"]\n', "config-value", "task.toml", 9, 'set network_mode = "allowlist"'),
    ({}, "[verifier]\nenvironment_mode = 'shared'\nenvironment = {}\n", "config-value", "task.toml", 9, "of its own"),
    ({}, MCP, "config-value", "task.toml", 8, "environment.mcp_servers[0] has no url"),
    ({}, MCP + 'transport = "stdio"\nurl = "x"\n', "config-value", "task.toml", 8, "has no command"),
    ({"task.toml": CONFIG.replace("1.4", "9.9")}, "", "schema-version", "task.toml", 1, "'9.9', which no harbor has"),
    ({"task.toml": CONFIG.replace("60", "0")}, "", "timeout-value", "task.toml", 7, "agent.timeout_sec is 0"),
    ({}, "[verifier]\ntimeout_sec = -1\n", "timeout-value", "task.toml", 9, "is -1"),
    ({}, "[environment]\nbuild_timeout_sec = inf\n", "timeout-value", "task.toml", 9, "is inf"),
    ({}, "[verifier]\ntimeout_sec = 9e6\n", "timeout-long", "task.toml", 9, "more than a day"),
    ({"task.toml": CONFIG.replace("timeout_sec = 60", "")}, "", "timeout-missing", "task.toml", 6, "may go on forever"),
    (IN_STEP, "[verifier]\ntimeout_sec = 9\n" + STEP, "timeout-not-inherited", "task.toml", 10, "it is 600, not the 9"),
    ({"task.toml": None}, "", "file-missing", "task.toml", None, "is missing"),
    ({"instruction.md": None}, "", "file-missing", "instruction.md", None, "is missing"),
    ({"tests/test.sh": None}, "", "file-missing", "tests/test.sh", None, "is missing"),
    ({"environment/Dockerfile": None}, "", "file-missing", "environment/Dockerfile", None, "docker_image"),
    ({"solution/solve.sh": None}, "", "solution-missing", "solution/solve.sh", None, "can be solved"),
    ({"solution/solve.sh": "#!/bin/bash\r\n"}, "", "script-crlf", "solution/solve.sh", 1, "dos2unix"),
    (
        {"tests/test.sh": "#\necho 1 > /logs/verifier/rewards.json\n"},
        "",
        "reward-file",
        "tests/test.sh",
        2,
        "reward.json",
    ),
    ({"tests/test.sh": "exit 1\n"}, "", "reward-unwritten", "tests", None, "there is no reward"),
    (
        {**IN_STEP, "tests/test.sh": "echo '{\"a\": 1}' > /logs/verifier/reward.json\n"},
        STEP + "min_reward = 1.0\n",
        "min-reward-key",
        "task.toml",
        11,
        "step one: min_reward asks for 'reward'",
    ),
    (IN_STEP, STEP + "min_reward = { style = 1.0 }\n", "min-reward-key", "task.toml", 11, "asks for 'style'"),
    (BOTH, "", "answers-visible", "environment/solve.sh", None, "is solution/solve.sh"),
    ({"environment/t/test.sh": GOOD["tests/test.sh"]}, "", "answers-visible", "environment/t/test.sh", None, "take it"),
    (
        {"environment/Dockerfile": "FROM x\nCOPY a \\\n  solution/ /y\n", "environment/solution/x": ""},
        "",
        "answers-visible",
        "environment/Dockerfile",
        2,
        "copies solution/ into",
    ),
    (
        {"environment/Dockerfile": "FROM x\nADD ../tests /t\n"},
        "",
        "answers-visible",
        "environment/Dockerfile",
        2,
        "keep",
    ),
    ({"environment/Dockerfile": "FROM x\nCOPY tests /t\n"}, "", "tests-visible", "environment/Dockerfile", 2, "keep"),
    ({"environment/d.csv": "1", "tests/d.csv": "1"}, "", "tests-visible", "environment/d.csv", None, "is tests/d.csv"),
    ({**IN_STEP, "steps/one/workdir/a": "x"}, STEP, "answers-visible", "steps/one/workdir/a", None, "can read it"),
    ({"solution/solve.sh": "\ncurl https://a.b\n"}, "", "internet", "solution/solve.sh", 2, "when the solution runs"),
    ({"tests/Dockerfile": "FROM x\nRUN pip install a\n"}, "", "internet", "tests/Dockerfile", 2, "the image is built"),
    ({**IN_STEP, "steps/one/workdir/setup.sh": "npm ci"}, STEP, "internet", "steps/one/workdir/setup.sh", 1, "a step"),
    ({"tests/test.sh": "uvx pytest # reward.txt"}, OFFLINE, "internet-denied", "tests/test.sh", 1, "has no network"),
    (
        {"environment/Dockerfile": f"FROM --platform=a x@sha256:{'0' * 64}\n"},
        "",
        "base-digest",
        "environment/Dockerfile",
        1,
        "name the tag",
    ),
    (
        {"environment/docker-compose.yaml": "x"},
        "",
        "sandbox-namespace",
        "environment/docker-compose.yaml",
        None,
        "Docker",
    ),
    ({}, '[environment]\nnetwork_mode = "allowlist"\n', "sandbox-namespace", "task.toml", 9, "no allowlist"),
    ({}, "[environment]\ngpus = 1\n", "sandbox-namespace", "task.toml", 9, "environment.gpus"),
    (
        {"tests/test.bat": "reward.txt"},
        "[environment]\nos = 'Windows'\n",
        "sandbox-namespace",
        "task.toml",
        9,
        "Windows",
    ),
    (
        {"environment/Dockerfile": "FROM a AS b\nFROM c\nCOPY --from=b x y\n"},
        "",
        "sandbox-namespace",
        "environment/Dockerfile",
        2,
        "",
    ),
]


@pytest.mark.parametrize(("changes", "more", "rule", "file", "line", "words"), FOUND)
def test_a_defect_is_found(
    tmp_path: Path, changes: dict[str, str | None], more: str, rule: str, file: str, line: int | None, words: str
) -> None:
    """A good task with one defect has that finding, at its place, with what it is and the way out."""
    found = [it for it in lint(make(tmp_path, changes, more=more)) if (it.rule, it.file) == (rule, file)]
    assert [it.line for it in found] == [line]
    assert words in f"{found[0].message}; {found[0].fix}"
    assert found[0].severity == RULES[rule]


def test_every_rule_is_seen_to_fail() -> None:
    """Each rule is in the table of defects, but the one that needs a link."""
    assert {rule for _, _, rule, *_ in FOUND} | {"file-unreadable"} == set(RULES)


@pytest.mark.parametrize(("changes", "more", "message"), [it for it in BAD if it[-1]])
def test_what_cannot_be_read_is_an_error(
    tmp_path: Path, changes: dict[str, str | None], more: str, message: str
) -> None:
    """Whatever the reader refuses is an error here too, so that no task is sound because nobody could play it."""
    assert lint(make(tmp_path, changes, more=more))[0].severity == "error", message


def test_an_instruction_that_is_no_text_is_found(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, which no agent could be told, are an error."""
    (make(tmp_path) / "instruction.md").write_bytes(b"\xff\xfe")
    (found,) = lint(tmp_path)
    assert (found.rule, found.file) == ("file-unreadable", "instruction.md")


def test_a_link_out_of_the_task_is_found(tmp_path: Path) -> None:
    """A task.toml that is a link to elsewhere is not read."""
    path = make(tmp_path / "made", {"task.toml": None})
    (tmp_path / "other.toml").write_text(CONFIG)
    (path / "task.toml").symlink_to(tmp_path / "other.toml")
    (found,) = lint(path)
    assert (found.rule, found.severity) == ("file-unreadable", "error")
    assert "leads out of the task" in found.message


def test_a_good_task_has_no_findings(tmp_path: Path) -> None:
    """Nothing is found in a good task, nor in ours, but that one of them writes no reward."""
    assert lint(make(tmp_path)) == []
    rules = {path.parent.name: [it.rule for it in lint(path.parent)] for path in TASKS.glob("*/task.toml")}
    assert {name: found for name, found in rules.items() if found} == {"bad-verifier": ["reward-unwritten"]}


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"environment/a/__init__.py": "", "tests/__init__.py": ""}, ""),  # empty files are alike and tell nothing
        (IN_STEP, "[verifier]\ntimeout_sec = 600\n" + STEP),  # what a step has anyhow
        ({"tests/test.sh": "# or rewards.json\necho 1 > /logs/verifier/reward.txt"}, ""),
        (IN_STEP, STEP + "min_reward = 1\n"),  # reward.txt is the reward
        ({"tests/test.sh": "uvx pytest # reward.txt"}, OFFLINE + "[verifier]\nnetwork_mode = 'public'\n"),
        ({"environment/Dockerfile": "FROM x\nCOPY --chown=a app/solve /x\n"}, ""),
        ({"task.toml": 'version = "1.0"\n[agent]\ntimeout_sec = 5\n[metadata]\nauthor = { any = [1] }\n'}, ""),
        ({"environment/Dockerfile": None}, '[environment]\ndocker_image = "x"\n'),
        ({"tests/test.sh": None, "tests/Dockerfile": "FROM x\n"}, '[verifier]\nenvironment_mode = "separate"\n'),
        ({"tests/test.sh": None}, '[verifier.environment]\ndocker_image = "x"\n'),
    ],
)
def test_what_is_right_is_left_alone(tmp_path: Path, changes: dict[str, str | None], more: str) -> None:
    """What looks like a defect and is none has no finding that is more than a note."""
    found = [it for it in lint(make(tmp_path, changes, more=more)) if it.severity != "note"]
    assert [it.rule for it in found if it.rule != "reward-unwritten"] == []


def test_errors_come_first(tmp_path: Path) -> None:
    """Findings are in the order of their severity."""
    changes = {
        "environment/Dockerfile": "FROM x\nRUN apt-get update\n",
        "solution/solve.sh": None,
        "instruction.md": None,
    }
    assert [it.severity for it in lint(make(tmp_path, changes))] == ["error", "warning", "note"]


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("apt-get update && apt-get install -y curl", ["apt-get update", "apt-get install"]),
        ("sudo apt -y install x", ["apt -y install"]),
        ("RUN --mount=type=cache,target=/x pip install x", ["pip install"]),
        ('RUN ["python3", "-m", "pip", "install", "x"]', ["python3 -m pip install"]),
        ("RUN apk add --no-cache git", ["apk add"]),
        ("if ! command -v uv; then curl -LsSf https://astral.sh/uv/install.sh | sh; fi", ["curl"]),
        ("x=$(wget -qO- https://example.org)", ["wget"]),
        ("DEBIAN_FRONTEND=noninteractive apt-get install x", ["apt-get install"]),
        ("uvx --with pytest pytest", ["uvx"]),
        ("uv run pytest", ["uv run"]),
        ("npx tsc", ["npx"]),
        ("git clone https://github.com/a/b", ["git clone"]),
        ("git -C x pull", ["git -C x pull"]),
        ("ADD https://example.org/x /x", ["ADD https://example.org/x"]),
        ("COPY --from=ghcr.io/astral-sh/uv:0.5 /uv /uv", ["COPY --from=ghcr.io/astral-sh/uv:0.5"]),
        ("COPY --from=build /x /x", []),
        ("curl -s http://localhost:8000/health", []),
        ("curl http://127.0.0.1/; wget https://example.org", ["wget"]),
        ("pip install --no-index --find-links /wheels x", []),
        ("echo please pip install x", []),
        ("# curl https://example.org", []),
        ("grep curl script.sh", []),
        ("curling stones", []),
        ("git commit -m x", []),
        ("python3 test.py", []),
    ],
)
def test_what_needs_the_internet(line: str, commands: list[str]) -> None:
    """Commands that fetch are seen where the shell runs them, not where they are words; this machine is no internet."""
    assert [command for _, command in found_in(line)] == commands


def test_lines_are_counted_where_they_begin() -> None:
    """A command over several lines has the number of its first; comments between are left out."""
    text = "a\n# c\nb \\\n  # d\n  e \\\n  f\ng"
    assert list(logical_lines(text)) == [(1, "a"), (3, "b    e    f"), (7, "g")]
