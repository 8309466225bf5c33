"""What is wrong with a harbor task, seen without running it and without harbor.

`RULES` are the rules with their severities. An *error* makes a task unsound: harbor refuses it, ignores what it says,
or its reward means nothing. A *warning* is likely a mistake. A *note* is what one has to know to play it.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.harbor import lint_files
from converters.harbor.config import Key, dotted, line_of, lines, problems
from converters.harbor.tasks import agent_timeouts, missing_files, read_text
from interop.errors import SourceError

RULES = {
    # task.toml
    "config-toml": "error",
    "config-type": "error",
    "config-value": "error",
    "config-unknown": "error",
    "schema-version": "warning",
    "timeout-value": "error",
    "timeout-missing": "warning",
    "timeout-long": "warning",
    "timeout-not-inherited": "warning",
    # Files
    "file-missing": "error",
    "file-unreadable": "error",
    "solution-missing": "warning",
    "script-crlf": "error",
    "reward-file": "error",
    "reward-unwritten": "warning",
    "min-reward-key": "warning",
    "answers-visible": "error",
    "tests-visible": "warning",
    # What it needs
    "internet": "note",
    "internet-denied": "error",
    "base-digest": "warning",
    "sandbox-namespace": "note",
}
SCHEMA_VERSIONS = ("1.0", "1.1", "1.2", "1.3", "1.4")
_DAY = 86_400.0
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*/[a-zA-Z0-9][a-zA-Z0-9._-]*")
_STEP = re.compile(r'[^<>:"/\\|?*\x00-\x1f\x7f]+(?<![. ])')


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or to be known.

    Attributes:
        rule: A key of `RULES`, or of the rules of `check`.
        severity: "error", "warning" or "note".
        file: Relative to the task; empty where it is about the task as a whole.
        line: From 1, where there is one.
        message: What was seen.
        fix: The way out.
    """

    rule: str
    severity: str
    file: str
    line: int | None
    message: str
    fix: str


def lint(path: Path) -> list[Finding]:
    """The findings on a task directory, errors first."""
    path = path.resolve()
    file = path / "task.toml"
    try:
        text = read_text(path, file)
        config = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        line = re.search(r"at line (\d+)", str(exc))
        number = int(line[1]) if line else text.count("\n") + 1
        return [_finding("config-toml", "task.toml", number, f"is no TOML: {exc}", "mend the line")]
    except SourceError as exc:
        missing = not file.exists()
        rule, fix = ("file-missing", "write one") if missing else ("file-unreadable", "make it a text file of the task")
        return [_finding(rule, "task.toml", None, "is missing" if missing else str(exc), fix)]
    found: list[lint_files.Found] = [
        (rule, "task.toml", key, f"{dotted(key)} {said}", fix) for rule, key, said, fix in _config(config)
    ]
    # What follows takes the types for granted.
    if not any(rule == "config-type" for rule, *_ in found):
        for name in missing_files(path, config):
            fix = "write it, or set environment.docker_image" if name == "environment/Dockerfile" else "write it"
            found.append(("file-missing", name, None, "is missing", fix))
        found += lint_files.findings(path, config)
    where = lines(text)
    placed = (
        _finding(rule, name, line_of(at, where) if isinstance(at, tuple) else at, message, fix)
        for rule, name, at, message, fix in found
    )
    return sorted(placed, key=lambda it: ("error", "warning", "note").index(it.severity))


def _finding(rule: str, file: str, line: int | None, message: str, fix: str) -> Finding:
    return Finding(rule, RULES[rule], file, line, message, fix)


Said = tuple[str, Key, str, str]
"""A rule, the key in task.toml, what was seen there, and the way out."""


def _config(config: Mapping[str, Any]) -> Iterator[Said]:
    wrong = False
    for it in problems(config):
        if it.accepted is None:
            wrong = True
            yield "config-type", it.key, it.message, "harbor refuses the task, or reads it as something else"
        else:
            yield "config-unknown", it.key, f"{it.message}: it has no effect", _instead(str(it.key[-1]), it.accepted)
    if wrong:
        return
    version = config.get("schema_version", config.get("version", SCHEMA_VERSIONS[-1]))
    if version not in SCHEMA_VERSIONS:
        key = "schema_version" if "schema_version" in config else "version"
        fix = f"accepted are {', '.join(SCHEMA_VERSIONS)}; harbor does not look at it"
        yield "schema-version", (key,), f"is {version!r}, which no harbor has", fix
    yield from _values(config)
    yield from _timeouts(config)


def _instead(name: str, accepted: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, accepted, 1)
    return f"write {close[0]}" if close else f"accepted are {', '.join(accepted)}"


def _values(config: Mapping[str, Any]) -> Iterator[Said]:
    """What harbor refuses though its type is right."""
    rule = "config-value"
    name = config.get("task", {}).get("name")
    if name is not None and (not _NAME.fullmatch(name) or ".." in name):
        yield rule, ("task", "name"), f"is {name!r}", "write org/name, of letters, digits, hyphens, dots"
    steps = config.get("steps", [])
    seen: set[str] = set()
    for index, step in enumerate(steps):
        if not _STEP.fullmatch(step["name"]) or step["name"].casefold() in seen:
            yield rule, ("steps", index, "name"), f"is {step['name']!r}", "write a file name that no other step has"
        seen.add(step["name"].casefold())
    if "multi_step_reward_strategy" in config and not steps:
        yield rule, ("multi_step_reward_strategy",), "is set, and there are no steps", "take it out"
    for key, table in _tables(config):
        mode, hosts = table.get("network_mode", "public"), table.get("allowed_hosts")
        if mode != "allowlist" and hosts:
            yield (
                rule,
                (*key, "allowed_hosts"),
                f"is set, and network_mode is {mode!r}",
                'set network_mode = "allowlist"',
            )
        if table.get("environment_mode") == "shared" and "environment" in table:
            yield rule, (*key, "environment_mode"), "is shared, and there is an environment of its own", "take one out"
        if key[-2:-1] == ("mcp_servers",):
            needed = "command" if table.get("transport") == "stdio" else "url"
            if not table.get(needed):
                yield rule, key, f"has no {needed}", f"write the {needed} of the MCP server"


def _tables(value: Any, key: Key = ()) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """All tables of a configuration but free ones, the outer before the inner."""
    if isinstance(value, Mapping):
        yield key, value
        for name, item in value.items():
            if name not in ("metadata", "env", "headers", "min_reward"):
                yield from _tables(item, (*key, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _tables(item, (*key, index))


def _timeouts(config: Mapping[str, Any]) -> Iterator[Said]:
    for key, table in _tables(config):
        for name in ("timeout_sec", "build_timeout_sec"):
            seconds = table.get(name)
            if seconds is None:
                continue
            if not seconds > 0 or math.isinf(seconds):
                yield "timeout-value", (*key, name), f"is {seconds}", "write a number of seconds above 0"
            elif seconds > _DAY:
                yield "timeout-long", (*key, name), f"is {seconds:g} s, more than a day", "write seconds"
    if None in agent_timeouts(config):
        fix = "set agent.timeout_sec, or that of each step"
        yield "timeout-missing", ("agent",), "timeout_sec is not set: an agent may go on forever", fix
    whole = config.get("verifier", {}).get("timeout_sec", 600)
    for index, step in enumerate(config.get("steps", ())):
        if whole != 600 and "timeout_sec" not in step.get("verifier", {}):
            message = (
                f"has no verifier.timeout_sec: it is 600, not the {whole:g} of [verifier], which steps do not inherit"
            )
            yield "timeout-not-inherited", ("steps", index), message, f"set steps.verifier.timeout_sec = {whole:g}"
