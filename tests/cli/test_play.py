"""`interop play`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from PIL import Image

import interop
from interop.cli import main
from interop.cli.policies import Random, accepted, reader
from interop.cli.recorders import Moment
from tests.cli.program import run
from tests.environments import source


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of CartPole."""
    with interop.serve("gym:CartPole-v1") as server:
        yield server.url


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_play_is_recorded(tmp_path: Path) -> None:
    """Two seeded episodes become JSON lines with every step, and a GIF with a frame for each."""
    record = tmp_path / "run.jsonl"
    film = tmp_path / "run.gif"
    files = ("--record", record, "--record", film)
    done = run("play", "gym:CartPole-v1", "--episodes", 2, "--steps", 6, "--seed", 7, *files, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    episodes = document["episodes"]
    assert [(e["seed"], e["length"], e["return"], e["ended"]) for e in episodes] == [
        (7, 6, 6.0, "--steps 6"),
        (8, 6, 6.0, "--steps 6"),
    ]
    header, *rest = lines(record)
    assert (header["format"], header["source"], header["seed"]) == ("interop-recording/1", "gym:CartPole-v1", 7)
    assert header["action_space"]["type"] == "Discrete"
    assert [line["step"] for line in rest] == [*range(7), *range(7)]
    assert rest[0]["step"] == 0
    assert rest[0]["action"] is None
    assert set(rest[1]) == {"episode", "step", "action", "observation", "reward", "terminated", "truncated", "info"}
    with gymnasium.make("CartPole-v1") as env:
        assert rest[0]["observation"] == pytest.approx(env.reset(seed=7)[0].tolist(), abs=1e-6)
    with Image.open(film) as image:
        assert image.format == "GIF"
        assert image.size == (600, 400)
        assert 2 <= getattr(image, "n_frames", 0) <= len(rest)


def test_a_recording_is_played_again(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The actions of a recording, with its seed and episodes, give the same recording."""
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert main(["play", url, "--episodes", "2", "--steps", "5", "--seed", "3", "--record", str(first)]) == 0
    assert "--steps 5" in capsys.readouterr().out
    assert main(["play", url, "--actions", str(first), "--record", str(second)]) == 0
    assert "no more actions" in capsys.readouterr().out
    assert lines(first)[1:] == lines(second)[1:]


def test_plain_actions(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of one JSON action per line is played to its end; a bad line is named with what is accepted."""
    path = tmp_path / "actions.jsonl"
    path.write_text("1\n0\n\n1\n")
    assert main(["play", url, "--actions", str(path), "--json"]) == 0
    (episode,) = json.loads(capsys.readouterr().out)["episodes"]
    assert (episode["length"], episode["ended"]) == (3, "no more actions")
    path.write_text("1\n2\n")
    assert main(["play", url, "--actions", str(path)]) == 2
    assert f"{path}:2: no action; accepted is an integer from 0 to 1" in capsys.readouterr().err


def test_typed_actions(url: str) -> None:
    """Each action is asked for with what is accepted; bad input is asked again; the end of input ends the play."""
    done = run("play", url, "--policy", "typed", "--json", input="1\nleft\n7\n0\n")
    assert done.returncode == 0, done.stderr
    (episode,) = json.loads(done.stdout)["episodes"]
    assert (episode["length"], episode["ended"]) == (2, "no more input")
    assert "step 1, action (an integer from 0 to 1)> " in done.stderr
    assert "error: 'left' is no action; accepted is an integer from 0 to 1\n" in done.stderr
    assert "error: '7' is no action; accepted is an integer from 0 to 1\n" in done.stderr
    assert "reward: 1.0\n" in done.stderr


def test_what_cannot_be_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An environment that does not render, a missing directory: said before anything is played, with exit code 2."""
    with interop.serve(source()) as server:
        assert main(["play", server.url, "--record", str(tmp_path / "run.gif")]) == 2
        assert "does not render images, so there is nothing to record" in capsys.readouterr().err
        assert server.active_sessions == 0
    assert main(["play", "gym:CartPole-v1", "--record", str(tmp_path / "no" / "run.jsonl")]) == 2
    assert "there is no directory" in capsys.readouterr().err


def test_a_film_needs_ffmpeg(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An MP4 is encoded by the ffmpeg that is there, from raw frames; without one the error names what to install."""
    film = tmp_path / "run.mp4"
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["play", url, "--record", str(film)]) == 2
    assert "--record .mp4 needs ffmpeg; pip install imageio-ffmpeg" in capsys.readouterr().err
    fake = tmp_path / "ffmpeg"
    fake.write_text('#!/bin/sh\nfor last; do :; done\nexec /bin/cat > "$last"\n')
    fake.chmod(0o755)
    assert main(["play", url, "--steps", "3", "--record", str(film)]) == 0
    assert film.stat().st_size == 4 * 600 * 400 * 3
    fake.write_text("#!/bin/sh\necho no such codec >&2; exit 1\n")
    assert main(["play", url, "--steps", "3", "--record", str(film)]) == 2
    assert "ffmpeg gave up" in capsys.readouterr().err


def test_an_environment_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When the environment raises, what was played is shown, the error is one line, and the exit code is 1."""
    path = tmp_path / "actions.jsonl"
    schema = {"type": "object", "properties": {"do": {"type": "string"}, "more": {"type": "string"}}}
    schema["required"] = ["do"]
    path.write_text('"nothing"\n"raise"\n')
    with interop.serve(source(action=schema)) as server:
        assert main(["play", server.url, "--actions", str(path), "--json"]) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert [(e["length"], e["ended"]) for e in document["episodes"]] == [(1, "error")]
    assert "on purpose" in document["error"]
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_a_lost_session(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """When the server goes away, what was played is shown and recorded, and the exit code is 1."""
    path = tmp_path / "run.jsonl"
    with interop.serve("gym:CartPole-v1") as server:

        def act(self: Any, moment: Moment) -> int:
            if moment.step == 2:
                server.stop()
            return moment.step % 2

        monkeypatch.setattr(Random, "act", act)
        assert main(["play", server.url, "--record", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].split() == ["0", "0", "2", "2", "error"]
    assert captured.err.startswith("error: ")
    assert [line["step"] for line in lines(path)[1:]] == [0, 1, 2]


def test_masks_are_honoured() -> None:
    """The random policy takes only what a mask allows, and a mask of another shape for none."""
    policy = Random(gymnasium.spaces.Discrete(4), seed=0)

    def drawn(mask: Any) -> set[int]:
        moment = Moment(episode=0, step=0, observation=None, info={"action_mask": mask})
        return {int(policy.act(moment)) for _ in range(40)}

    assert drawn(np.array([0, 1, 0, 1], np.int8)) == {1, 3}
    assert drawn([0, 0, 1, 0]) == {2}
    assert drawn(np.ones(3)) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("space", "text", "action", "says"),
    [
        (gymnasium.spaces.Discrete(3, start=-1), "-1", -1, "an integer from -1 to 1"),
        (gymnasium.spaces.Box(-2, 2, (1,)), "1.5", [1.5], "a list of shape [1]"),
        (gymnasium.spaces.Box(-2, 2, (1,)), "[1.5]", [1.5], "from -2.0 to 2.0"),
        (gymnasium.spaces.Text(20), "hello", "hello", "text of 1 to 20 characters"),
        (gymnasium.spaces.Text(20), '"hello"', "hello", "text of"),
        (gymnasium.spaces.Text(20), "12", "12", "text of"),
        (gymnasium.spaces.MultiBinary(2), "[0, 1]", [0, 1], "JSON of MultiBinary(2), such as ["),
    ],
)
def test_actions_are_read(space: Any, text: str, action: Any, says: str) -> None:
    """A typed action is JSON, a plain number or bare text, and is an element of the space."""
    value = reader(space)(text)
    assert space.contains(value)
    assert np.asarray(value).tolist() == action
    assert says in accepted(space)
    with pytest.raises(ValueError, match="not in"):
        reader(space)("{}" * 30)


def test_interrupted(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl+C ends the play with what was played so far and exit code 130."""

    def interrupt(self: Any, moment: Moment) -> int:
        if moment.step == 2:
            raise KeyboardInterrupt
        return 0

    monkeypatch.setattr(Random, "act", interrupt)
    assert main(["play", url, "--json"]) == 130
    document = json.loads(capsys.readouterr().out)
    assert (document["episodes"][0]["length"], document["episodes"][0]["ended"]) == (2, "interrupted")
    assert os.environ.get("INTEROP_TRACEBACK", "0") == "0"
