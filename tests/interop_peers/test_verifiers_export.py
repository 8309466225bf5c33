"""`interop export --to verifiers`: servers as environments of verifiers, played by verifiers itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import interop
from examples.scripted_model import Call, Messages, Reply, ScriptedModel, Tape
from interop.cli import main
from tests.interop_peers.conftest import Serve
from tests.interop_peers.test_clients import run
from tests.interop_peers.test_verifiers_v0 import GUESS, JUDGE, REVERSE, TAPES, TOOLS

Rollouts = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def python(peer: Callable[..., Path]) -> Path:
    """The interpreter with verifiers 0.3.1, the hub, and the environments."""
    return peer("0.3.1", "verifiers")


@pytest.fixture(scope="module")
def rollouts(python: Path) -> Rollouts:
    """Rollouts of a module by verifiers, of tasks by their indexes, with a scripted model."""

    def play(module: str, tape: Tape, cases: Sequence[int], directory: Path = Path(), **arguments: Any) -> Any:
        with ScriptedModel(tape) as model:
            asked = (str(directory), module, json.dumps(arguments), f"{model.url}/v1", json.dumps(cases))
            lines = run(python, "verifiers_rollouts.py", *asked).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    return play


@pytest.fixture(scope="module")
def mixture(peer: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package of a server of the mixture of v0 environments."""
    directory = tmp_path_factory.mktemp("export") / "mixture"
    source = interop.wrap("verifiers:v0_kinds?kind=mixture", python=str(peer("0.3.1", "verifiers")))
    with interop.serve(source) as server:
        assert (
            main(["export", server.url, "--to", "verifiers", "-o", str(directory), "--v0", "--name", "Round Trip"]) == 0
        )
        yield directory


def test_a_round_trip_is_the_native_rollout(rollouts: Rollouts, mixture: Path) -> None:
    """verifiers -> OpenEnv -> verifiers: prompts, messages, tools, reward, metrics and stop are those without us."""
    replies = [reply for _, tape in TAPES.values() for reply in tape]
    indexes = [index for index, _ in TAPES.values()]
    native = rollouts("v0_kinds", replies, indexes, kind="mixture", seconds=60)
    exported = rollouts("round_trip", replies, indexes, mixture)
    for name, before, after in zip(TAPES, native, exported, strict=True):
        after["metrics"].pop("openenv_reward")
        # The server says that turns ran out.
        assert after.pop("truncated") == (before.pop("truncated") or name == "lost"), name
        assert after == before, name


def test_errors_come_through(rollouts: Rollouts, mixture: Path) -> None:
    """What fails behind the server fails the rollout in verifiers, with the words and without a reward."""
    replies = [Reply(text="infra"), Reply(text="it"), Reply(text="42")]
    infra, judged, won = rollouts("round_trip", replies, [GUESS, JUDGE, GUESS], mixture)
    assert (infra["reward"], judged["reward"], won["reward"]) == (0.0, 0.0, 1.0)
    assert "the sandbox is gone" in infra["error"]
    assert "the judge is down" in judged["error"]
    assert won["error"] is None


@pytest.mark.slow  # interpreters that import much
def test_other_splits(rollouts: Rollouts, mixture: Path) -> None:
    """A split by its name."""
    (played,) = rollouts("round_trip", [Reply(text="<answer>lave</answer>")], [0], mixture, split="eval")
    assert (played["prompt"][-1]["content"], played["reward"]) == ("Reverse: eval", 1.2)


@pytest.mark.slow  # interpreters that import much
@pytest.mark.parametrize(("limit", "truncated", "runs"), [(500, False, True), (20, True, True), (20, True, False)])
def test_any_server_is_played_in_json(
    rollouts: Rollouts, tmp_path: Path, limit: int, truncated: bool, runs: bool
) -> None:
    """CartPole to its end, in every form of an action and with replies that are none; the return is the local one."""
    forms = ["{}", '{{"action": {}}}', 'I push.\n```json\n{{"action": {}}}\n```']
    seen: list[Messages] = []

    def play(messages: Messages) -> Reply:
        seen.append(messages)
        turn = len(messages) // 2
        last = messages[-1]["content"]
        if turn in (0, 3):
            return Reply(text="left" if turn == 0 else '{"action": 7}')
        observed = [it["content"] for it in messages if '{"obs"' in it["content"]][-1]
        assert last == observed or last.startswith("That is no action that the environment takes: ")
        return Reply(text=forms[turn % 3].format(_push(json.loads(observed[observed.index('{"obs"') :])["obs"])))

    source = f"gym:CartPole-v1?max_episode_steps={limit}"
    with interop.serve(source) as server:
        target = server.url if runs else source
        assert main(["export", target, "--to", "verifiers", "-o", str(tmp_path), "--v0"]) == 0
        (played,) = rollouts("cartpole_v1", play, [1], tmp_path, seed=6, num_tasks=2)
    expected, steps = _local_return(7, limit)
    assert (played["reward"], played["error"], played["truncated"]) == (expected, None, truncated)
    assert played["metrics"]["num_turns"] == steps + 2
    assert "takes: action: 7 is not in the action space" in seen[4][-1]["content"]
    assert all("reward" not in message["content"] for message in seen[-1])


def _push(obs: Sequence[float]) -> int:
    return int(obs[2] > 0)


def _local_return(seed: int, limit: int) -> tuple[float, int]:
    """The return and the number of steps of the policy on Gymnasium."""
    env = gymnasium.make("CartPole-v1", max_episode_steps=limit)
    obs, _ = env.reset(seed=seed)
    total, steps, done = 0.0, 0, False
    while not done:
        obs, reward, terminated, truncated, _ = env.step(_push([float(str(np.float32(value))) for value in obs]))
        total, steps, done = total + float(reward), steps + 1, terminated or truncated
    return total, steps


@pytest.mark.slow  # interpreters that import much
def test_tools_of_official_servers_are_native(rollouts: Rollouts, serve_official: Serve, tmp_path: Path) -> None:
    """Each call is a step, failures are told, and a message without a call is the last."""
    calls = [Call(name="add", arguments={"a": 2, "b": 3}), Call(name="fail"), Call(name="bump")]
    tape = [Reply(calls=calls), Reply(calls=[Call(name="bump", arguments={"n": 2})]), Reply(text="done")]
    with serve_official("mcp_env:app") as url:
        assert main(["export", url, "--to", "verifiers", "-o", str(tmp_path), "--v0", "--name", "tools"]) == 0
        (played,) = rollouts("tools", tape, [0], tmp_path, num_tasks=1)
    assert [tool["name"] for tool in played["tools"]][:4] == ["add", "greet", "bump", "fail"]
    told = [message["content"] for message in played["completion"] if message["role"] == "tool"]
    assert (told[0], told[2], told[3]) == ("5", '{"count":1}', '{"count":3}')
    assert "tool exploded" in told[1]
    assert (played["stop"], played["error"], played["metrics"]["num_turns"]) == ("no_tools_called", None, 3.0)


@pytest.fixture
def episodes(peer: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rollouts:
    """Episodes of the v1 API of an exported package `shown`, by verifiers, with a scripted model."""

    def play(version: str, url: str, tape: Tape, cases: Sequence[int]) -> Any:
        assert main(["export", url, "--to", "verifiers", "-o", str(tmp_path), "--name", "shown"]) == 0
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        with ScriptedModel(tape) as model:
            asked = (f"{model.url}/v1", json.dumps([["shown", index] for index in cases]))
            lines = run(peer(version, "verifiers"), "native_verifiers_v1.py", *asked).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    return play


@pytest.mark.slow  # interpreters that import much
@pytest.mark.parametrize(("version", "runs"), [("0.3.1", True), ("0.3.1", False), ("0.4.0-hub", True)])
def test_v1_plays_any_server(episodes: Rollouts, version: str, runs: bool) -> None:
    """The same in the v1 API: the observation as JSON, a reply that is no action told, the return as the reward."""

    def play(messages: Messages) -> Reply:
        text = messages[-1]["content"]
        return Reply(text=str(_push(json.loads(text[text.index('{"obs"') :])["obs"])) if '{"obs"' in text else "left")

    def stumble(messages: Messages) -> Reply:
        return Reply(text="left") if len(messages) == 3 else play([it for it in messages if '{"obs"' in it["content"]])

    with interop.serve("gym:CartPole-v1") as server:
        (played,) = episodes(version, server.url if runs else "gym:CartPole-v1", stumble, [7])
    player, (expected, steps) = played["player"], _local_return(7, 500)
    assert (played["ok"], player["reward"]) == (True, expected)
    assert len(player["messages"]) == 2 * (steps + 1)
    assert "'left' is not accepted: an integer" in player["messages"][4]["content"]


@pytest.mark.slow  # interpreters that import much
def test_v1_talks_as_the_server_does(episodes: Rollouts, peer: Callable[..., Path]) -> None:
    """Messages of a chat are the model's own, calls of tools are JSON, and what fails has no reward."""
    said = json.dumps({"tool_calls": [{"name": "add", "arguments": {"a": 2, "b": 3}}, {"name": "fail"}]})
    tape = [*TAPES["right"][1], *TAPES["won"][1], Reply(text=said), Reply(text="it is 5"), Reply(text="it")]
    source = interop.wrap("verifiers:v0_kinds?kind=mixture", python=str(peer("0.3.1", "verifiers")))
    with interop.serve(source) as server:
        right, won, tools, judged = episodes("0.3.1", server.url, tape, [REVERSE, GUESS, TOOLS, JUDGE])
    assert [it["player"]["reward"] for it in (right, won, tools)] == [1.2, 1.0, 1.0]
    assert [message["role"] for message in right["player"]["messages"]] == ["system", "user", "assistant"]
    assert [message["content"] for message in won["player"]["messages"]] == [
        "Guess 1-100", "50", "lower", "x", "higher", "42",
    ]  # fmt: skip
    assert won["player"]["metrics"] == {"openenv_reward": 1.0, "won": 1.0, "num_turns": 3.0}
    assert "To call tools, reply with JSON" in tools["player"]["messages"][1]["content"]
    assert tools["player"]["messages"][3]["content"] == "Result of add:\n5"
    assert (judged["ok"], judged["player"]["reward"]) == (False, 0)


def test_what_is_there_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that is not empty, a name that is none and a server that is not there are refused."""
    with interop.serve("gym:CartPole-v1") as server:
        target = tmp_path / "package"
        asked = ["export", server.url, "--to", "verifiers", "-o", str(target)]
        assert main([*asked, "--name", "verifiers"]) == 2
        assert "give another one with --name" in capsys.readouterr().err
        assert main(["export", "http://127.0.0.1:1", *asked[2:]]) == 2
        assert not target.exists()
        assert main([*asked, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["name"], document["api"]) == ("cartpole-v1", "v1")
        assert [Path(file).name for file in document["files"]] == ["README.md", "cartpole_v1.py", "pyproject.toml"]
        assert main(asked) == 2
        assert "not empty" in capsys.readouterr().err
