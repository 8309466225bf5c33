"""What a user gives a run: actions, as values or in a file, and failures that are expected. All of it is checked."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from conformance.catalogue import requirements
from conformance.errors import GivenError
from conformance.probe import Inputs

_KINDS: tuple[tuple[Any, type[Any] | tuple[type[Any], ...], str], ...] = (
    (Mapping[str, Any], Mapping, "an object"),
    (str, str, "a text"),
    (float, (int, float), "a number"),
)


def inputs(given: Any = None, reset: Mapping[str, Any] | None = None) -> Inputs:
    """What is known of an environment.

    Args:
        given: `Inputs`, a mapping with some of its fields, a list of valid actions, the path of a JSON file with one
            of the two, or None.
        reset: Arguments of every reset, beside those in `given`.

    Raises:
        GivenError: The file cannot be read, or a field is unknown or of the wrong kind.
    """
    where = "the actions"
    if isinstance(given, (str, Path)):
        where, given = str(given), json_file(Path(given))
    found = given if isinstance(given, Inputs) else _inputs(given, where)
    if reset is None:
        return found
    return replace(found, reset={**found.reset, **_thing(Mapping[str, Any], reset, "the arguments of reset")})


def expected_failures(given: Mapping[str, str] | str | Path | None, version: str) -> dict[str, str]:
    """Requirements that are known not to be met, with the reasons.

    Args:
        given: A mapping of ids to reasons, the path of a TOML file with such a table `[expected]`, or None.
        version: Of the requirements.

    Raises:
        GivenError: The file cannot be read, an id is unknown or untestable, or a reason is missing.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return _expected(given, "the expected failures", version)
    document = _toml_file(Path(given))
    if set(document) != {"expected"} or not isinstance(document["expected"], dict):
        raise GivenError(f'{given} must have one table, [expected], with lines like WS-9 = "why it fails"')
    return _expected(document["expected"], str(given), version)


def json_text(text: str, where: str) -> Any:
    """Parsed JSON. Raises `GivenError` with the line and the column."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise GivenError(f"{where} is no JSON: line {exc.lineno}, column {exc.colno}: {exc.msg}") from None


def json_file(path: Path) -> Any:
    """Parsed JSON of a file. Raises `GivenError`."""
    return json_text(_read(path), str(path))


def _toml_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as exc:
        raise GivenError(f"{path} is no TOML: {exc}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise GivenError(f"{path} cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError as exc:
        raise GivenError(f"{path} is not UTF-8: {exc}") from None


def _inputs(given: Any, where: str) -> Inputs:
    if given is None:
        return Inputs()
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        given = {"actions": given}
    types = get_type_hints(Inputs)
    if not isinstance(given, Mapping):
        raise GivenError(f"{where} must be a list of actions, or an object with some of {', '.join(types)}")
    if unknown := sorted(set(given) - set(types)):
        raise GivenError(f"{where}: unknown {', '.join(unknown)}; accepted are {', '.join(types)}")
    return Inputs(**{key: _field(types[key], it, f"{where}: `{key}`") for key, it in given.items() if it is not None})


def _field(type: Any, value: Any, where: str) -> Any:
    """The value of a field of `Inputs`, which is a thing, an optional one, or a tuple of any number of them."""
    if get_origin(type) is not tuple:
        return _thing(type, value, where)
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise GivenError(f"{where} must be a list, not {_shown(value)}")
    return tuple(_thing(get_args(type)[0], it, f"{where}, number {number}") for number, it in enumerate(value, 1))


def _thing(type: Any, value: Any, where: str) -> Any:
    (kind, words), *_ = ((kind, words) for it, kind, words in _KINDS if it == type or it in get_args(type))
    if not isinstance(value, kind) or isinstance(value, bool):
        raise GivenError(f"{where} must be {words}, not {_shown(value)}")
    return dict(value) if isinstance(value, Mapping) else value


def _shown(value: Any) -> str:
    return json.dumps(value, default=repr)[:80]


def _expected(given: Mapping[str, Any], where: str, version: str) -> dict[str, str]:
    known = {it.id: it for it in requirements(version)}
    for id, reason in given.items():
        if id not in known:
            raise GivenError(f"{where}: there is no requirement {id} for openenv {version}; see interop requirements")
        if known[id].untestable:
            raise GivenError(f"{where}: {id} is never judged: {known[id].untestable}")
        if not isinstance(reason, str) or not reason.strip():
            raise GivenError(f"{where}: {id} needs a reason, a text that is not empty")
    return dict(given)
