"""The rules of `lint` on what stands beside `task.toml`: scripts, Dockerfiles, tests, solutions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from filecmp import cmp
from pathlib import Path
from typing import Any

from converters.harbor.config import Key
from converters.harbor.dockerfile import unsupported
from converters.harbor.internet import PHASES, logical_lines, needs
from converters.harbor.tasks import network, read_text, verifier_image
from interop.errors import SourceError

Found = tuple[str, str, int | Key | None, str, str]
"""A rule, the file relative to the task, its line or the key in task.toml, what was seen, the way out."""

_TYPO = re.compile(r"\brewards\.(?:json|txt)")
_REWARD_FILE = re.compile(r"\breward\.(?:json|txt)")
_COPIED = re.compile(r"\s*(?:COPY|ADD)\s+(.*)", re.IGNORECASE)
_FROM = re.compile(r"\s*FROM\s+(?:--\S+\s+)*(\S+@sha\d+:\S+)", re.IGNORECASE)
_TEST_NAMES = re.compile(r"test\.(?:sh|bat)|test_.*\.py|.*_test\.py|conftest\.py")
MOST_TEXT = 1_000_000


def findings(path: Path, config: Mapping[str, Any]) -> Iterator[Found]:
    """The findings on a task whose `task.toml` has the right types."""
    steps = [path / "steps" / step["name"] for step in config.get("steps", ())]
    roots = [path, *steps]
    for root in steps or [path]:
        yield from _unreadable(path, root / "instruction.md")
    yield from _solutions(path, steps)
    for file in (it for root in roots for it in sorted(root.glob("*/*.sh"))):
        if b"\r\n" in file.read_bytes():
            yield "script-crlf", _name(path, file), 1, "has the line ends of Windows: it cannot be run", "dos2unix it"
    yield from _rewards(path, config, roots)
    yield from _visible(path, roots)
    yield from _internet(path, config)
    for dockerfile in (root / place / "Dockerfile" for root in roots for place in ("environment", "tests")):
        yield from _digests(path, dockerfile)
    if refusal := _refusal(path, config, roots):
        yield refusal


def _name(path: Path, file: Path) -> str:
    return str(file.relative_to(path))


def _text(file: Path) -> str:
    """What a script or a Dockerfile says; what is longer is data."""
    is_script = file.is_file() and file.stat().st_size < MOST_TEXT
    return file.read_text(encoding="utf-8", errors="replace") if is_script else ""


def _files(directory: Path) -> list[Path]:
    return sorted(it for it in directory.rglob("*") if it.is_file())


def _unreadable(path: Path, file: Path) -> Iterator[Found]:
    try:
        if file.is_file():
            read_text(path, file)
    except SourceError as exc:
        yield "file-unreadable", _name(path, file), None, str(exc), "make it a text file of the task"


def _solutions(path: Path, steps: list[Path]) -> Iterator[Found]:
    for root in steps or [path]:
        scripts = [place / f"solution/solve.{suffix}" for place in (root, path) for suffix in ("sh", "bat")]
        if not any(script.is_file() for script in scripts):
            message = "is missing: nobody can show that the task can be solved"
            yield "solution-missing", _name(path, scripts[0]), None, message, "write it"


# Rewards


def _rewards(path: Path, config: Mapping[str, Any], roots: list[Path]) -> Iterator[Found]:
    for file in (it for root in roots for it in _files(root / "tests")):
        for number, line in enumerate(_text(file).splitlines(), 1):
            if line.lstrip().startswith("#"):
                continue  # harbor's own template says it in a comment
            if typo := _TYPO.search(line):
                right = typo[0].replace("rewards", "reward")
                message = f"writes {typo[0]}, which harbor does not read"
                yield "reward-file", _name(path, file), number, message, f"write /logs/verifier/{right}"
    if verifier_image(config):
        return  # the tests are in the image
    for root in roots[1:] or roots:
        tests = [*_files(root / "tests"), *(_files(path / "tests") if root != path else ())]
        said = "\n".join(_text(file) for file in tests)
        if not tests:
            continue
        if not _REWARD_FILE.search(said) and not _TYPO.search(said):
            message = "no file of tests/ says reward.json or reward.txt: without one of them there is no reward"
            fix = "write a number to /logs/verifier/reward.txt, or an object of numbers to /logs/verifier/reward.json"
            yield "reward-unwritten", _name(path, tests[0].parent), None, message, fix
    for index, step in enumerate(config.get("steps", ())):
        yield from _gates(path, roots[index + 1], step, ("steps", index, "min_reward"))


def _gates(path: Path, root: Path, step: Mapping[str, Any], at: Key) -> Iterator[Found]:
    gate = step.get("min_reward")
    if gate is None:
        return
    said = "\n".join(_text(file) for place in (root, path) for file in _files(place / "tests"))
    for key in gate if isinstance(gate, dict) else ["reward"]:
        is_scalar_file = key == "reward" and "reward.txt" in said
        if not is_scalar_file and not re.search(rf"""["'\\]{re.escape(key)}["'\\]|\b{re.escape(key)}=""", said):
            message = (
                f"step {step['name']}: min_reward asks for {key!r}, which its tests do not name: it always ends there"
            )
            yield "min-reward-key", "task.toml", at, message, f"give {key!r} in reward.json, or ask for another key"


# What the agent can see


def _visible(path: Path, roots: list[Path]) -> Iterator[Found]:
    private: dict[int, list[Path]] = {}
    for file in (file for root in roots for place in ("solution", "tests") for file in _files(root / place)):
        private.setdefault(file.stat().st_size, []).append(file)
    public = [*_files(path / "environment"), *(file for root in roots for file in _files(root / "workdir"))]
    for file in public:
        size = file.stat().st_size
        same = next((it for it in private.get(size, ()) if size and cmp(it, file, shallow=False)), None)
        if same is not None:
            is_answer = "solution" in same.relative_to(path).parts or _TEST_NAMES.fullmatch(same.name)
            rule = "answers-visible" if is_answer else "tests-visible"
            message = f"is {_name(path, same)}: the agent can read it"
            fix = "take it out; harbor brings tests and solution when it is time"
            yield rule, _name(path, file), None, message, fix
    dockerfile = path / "environment" / "Dockerfile"
    for number, line in logical_lines(_text(dockerfile)):
        copied = _COPIED.match(line)
        for source in copied[1].split()[:-1] if copied else ():
            parts = Path(source).parts
            if source.startswith("--") or not {"..", "solution", "solve.sh", "test.sh", "tests"} & set(parts):
                continue
            rule = "tests-visible" if parts[0] == "tests" else "answers-visible"
            message = f"copies {source} into the agent's image"
            yield rule, _name(path, dockerfile), number, message, "keep tests and solution out of environment/"


# What it needs


def _internet(path: Path, config: Mapping[str, Any]) -> Iterator[Found]:
    phase_network = {"setup": network(config), "solution": network(config), "verify": network(config, "verifier")}
    for need in needs(path, config):
        message = f"{need.command} needs the internet {PHASES[need.phase]}"
        if phase_network.get(need.phase) == "no-network":
            fix = "install it in the Dockerfile, or allow the network"
            yield "internet-denied", need.file, need.line, f"{message}, and the task has no network", fix
        else:
            built = need.phase == "build"
            fix = "build the image where there is the internet" if built else "install it in the Dockerfile"
            yield "internet", need.file, need.line, message, fix


def _digests(path: Path, dockerfile: Path) -> Iterator[Found]:
    for number, line in logical_lines(_text(dockerfile)):
        if base := _FROM.match(line):
            message = f"{base[1]} is a digest, which no image built or imported on this machine can have"
            fix = "name the tag, so that a machine without the internet can have it"
            yield "base-digest", _name(path, dockerfile), number, message, fix


def _refusal(path: Path, config: Mapping[str, Any], roots: list[Path]) -> Found | None:
    """Why the namespace sandbox cannot play a task, if it cannot."""
    rule, fix = "sandbox-namespace", "play it with Docker"
    environment = config.get("environment", {})
    for key in ("gpus", "tpu"):
        if environment.get(key):
            return rule, "task.toml", ("environment", key), f"environment.{key}: the namespace sandbox has none", fix
    if environment.get("os", "linux").lower() != "linux":
        message = f"environment.os: the namespace sandbox has no {environment['os']}"
        return rule, "task.toml", ("environment", "os"), message, fix
    for phase in ("agent", "verifier"):
        if network(config, phase) == "allowlist":
            table = phase if "network_mode" in config.get(phase, {}) else "environment"
            message = "network_mode: the namespace sandbox has no allowlist"
            return rule, "task.toml", (table, "network_mode"), message, fix
    for place in (root / it for root in roots for it in ("environment", "tests")):
        if (place / "docker-compose.yaml").is_file():
            return rule, _name(path, place / "docker-compose.yaml"), None, "the namespace sandbox has no compose", fix
        dockerfile = place / "Dockerfile"
        if dockerfile.is_file() and (why := unsupported(_text(dockerfile))):
            line = re.search(r"\bline (\d+)", why)
            return rule, _name(path, dockerfile), int(line[1]) if line else None, why, fix
    return None
