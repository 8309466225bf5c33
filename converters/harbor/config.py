"""What `task.toml` may say: harbor 0.26's fields and types as data (its `models/task/config.py`), and where they stand.

harbor drops unknown fields without a word and reads `"600"` as a number; here the first are found, the second is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Key = tuple[str | int, ...]
"""The way to a value: names of tables, indices of lists."""

NUMBER = (int, float)
_NETWORK = {"network_mode": {"no-network", "public", "allowlist"}, "allowed_hosts": [str]}
_NETWORK_PHASE = {**_NETWORK, "timeout_sec": NUMBER, "user": (str, int)}
_HEALTHCHECK = {
    "command!": str,
    "interval_sec": NUMBER,
    "timeout_sec": NUMBER,
    "start_period_sec": NUMBER,
    "start_interval_sec": NUMBER,
    "retries": int,
}
_MCP_SERVER = {
    "name!": str,
    "transport": {"stdio", "sse", "streamable-http", "http"},
    "url": str,
    "command": str,
    "args": [str],
    "headers": {"*": str},
}
_ENVIRONMENT = {
    **_NETWORK,
    "build_timeout_sec": NUMBER,
    "docker_image": str,
    "os": str,
    "cpus": NUMBER,
    "memory_mb": int,
    "storage_mb": int,
    "gpus": int,
    "gpu_types": [str],
    "tpu": {"type!": str, "topology!": str},
    "mcp_servers": [_MCP_SERVER],
    "env": {"*": str},
    "skills_dir": str,
    "healthcheck": _HEALTHCHECK,
    "workdir": str,
    # What older files say; harbor still reads it.
    "memory": str,
    "storage": str,
    "allow_internet": bool,
}
_AGENT = _NETWORK_PHASE
_VERIFIER = {
    **_NETWORK_PHASE,
    "env": {"*": str},
    "environment_mode": {"shared", "separate"},
    "environment": _ENVIRONMENT,
    "collect": [{"command!": str, "service": str, "timeout_sec": NUMBER, "user": (str, int)}],
}
_ARTIFACTS = [(str, {"source!": str, "destination": str, "exclude": [str], "service": str})]
_STEP = {
    "name!": str,
    "agent": _AGENT,
    "verifier": _VERIFIER,
    "min_reward": (int, float, {"*": NUMBER}),
    "healthcheck": _HEALTHCHECK,
    "artifacts": _ARTIFACTS,
}
TASK = {
    "schema_version": str,
    "version": str,
    "source": str,
    "multi_step_reward_strategy": {"mean", "final"},
    "artifacts": _ARTIFACTS,
    "metadata": dict,
    "task": {
        "name!": str,
        "version": str,
        "description": str,
        "authors": [{"name!": str, "email": str}],
        "keywords": [str],
    },
    "agent": _AGENT,
    "verifier": _VERIFIER,
    "environment": _ENVIRONMENT,
    "solution": {"env": {"*": str}},
    "steps": [_STEP],
}
"""A table is a dict of its fields (`!`: required, `*`: any), a list `[of]`, a choice a set, alternatives a tuple."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that is not as `TASK` has it. `accepted` are the table's fields where the key itself is unknown."""

    key: Key
    message: str
    accepted: tuple[str, ...] | None = None


def dotted(key: Key) -> str:
    """A key as people write it: `steps[0].agent.timeout_sec`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def problems(value: Any, kind: Any = TASK, key: Key = ()) -> Iterator[Problem]:
    """Whatever in a value is not of a kind."""
    if isinstance(kind, tuple):
        yield from _alternatives(value, kind, key)
    elif kind is not dict and isinstance(kind, dict):
        yield from _table(value, kind, key) if isinstance(value, dict) else _wrong(key, value, "a table")
    elif isinstance(kind, list):
        if not isinstance(value, list):
            yield from _wrong(key, value, "a list")
        else:
            for index, item in enumerate(value):
                yield from problems(item, kind[0], (*key, index))
    elif isinstance(kind, set):
        if not isinstance(value, str) or value not in kind:
            yield from _wrong(key, value, " or ".join(sorted(kind)))
    elif type(value) is not kind and not (kind is int and type(value) is float and value.is_integer()):
        yield from _wrong(key, value, _NAMES[kind])


def _alternatives(value: Any, kinds: tuple[Any, ...], key: Key) -> Iterator[Problem]:
    tables = [kind for kind in kinds if isinstance(kind, dict)]
    if isinstance(value, dict) and tables:
        yield from problems(value, tables[0], key)
    elif type(value) not in kinds:
        names = dict.fromkeys("a table" if isinstance(kind, dict) else _NAMES[kind] for kind in kinds)
        yield from _wrong(key, value, " or ".join(names))


def _table(value: Mapping[str, Any], kind: Mapping[str, Any], key: Key) -> Iterator[Problem]:
    fields = {name.removesuffix("!"): of for name, of in kind.items()}
    for name in kind:
        if name.endswith("!") and name[:-1] not in value:
            yield Problem((*key, name[:-1]), "is missing")
    for name, item in value.items():
        of = fields.get(name, fields.get("*"))
        if of is None:
            yield Problem((*key, name), "is no field that harbor reads", tuple(fields))
        else:
            yield from problems(item, of, (*key, name))


_NAMES = {str: "a string", int: "a number", float: "a number", bool: "true or false", dict: "a table"}


def _wrong(key: Key, value: Any, accepted: str) -> Iterator[Problem]:
    yield Problem(key, f"is {value!r}; accepted is {accepted}")


_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def lines(text: str) -> dict[Key, int]:
    """The line of each key of a TOML document, from 1; what stands in inline tables has that of its table."""
    found: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    quotes: str | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if quotes is None:
            if header := _HEADER.match(line):
                table = _opened(_parts(header[2]), header[1] == "[[", counts)
                found[table] = number
            elif assignment := _ASSIGNMENT.match(line):
                found.setdefault((*table, *_parts(assignment[1])), number)
        for mark in re.findall(r'"""|\'\'\'', line):
            quotes = None if quotes == mark else quotes or mark
    return found


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _opened(names: tuple[str, ...], is_item: bool, counts: dict[Key, int]) -> Key:
    """The key of the table that a header opens; `counts` are the items of each list of tables so far."""
    key: Key = ()
    for depth, name in enumerate(names, 1):
        key = (*key, name)
        if is_item and depth == len(names):
            counts[key] = counts.get(key, 0) + 1
        if key in counts:
            key = (*key, counts[key] - 1)
    return key


def line_of(key: Key, found: Mapping[Key, int]) -> int | None:
    """The line of a key, or of the nearest table around it."""
    while key and key not in found:
        key = key[:-1]
    return found.get(key)
