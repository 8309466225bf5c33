"""What users name: `gym:CartPole-v1?x=1` → a source, through the converters installed (entry points)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from typing import Any
from urllib.parse import parse_qsl

from interop.environment import Source
from interop.errors import SourceError

GROUP = "interop.converters"
PROVIDERS = "interop.providers"
"""What runs images, such as `docker:`."""


def is_url(text: str) -> bool:
    """Whether a name is a server's address rather than something to serve."""
    return text.split("://", 1)[0].lower() in ("http", "https", "ws", "wss") and "://" in text


def resolve(source: str, how: Mapping[str, Any] | None = None) -> Source:
    """The source that a text names.

    Args:
        source: `CONVERTER:TARGET[?key=value&...]`, such as `gym:CartPole-v1?sutton_barto_reward=true`.
        how: How its interpreter is made, where the converter runs environments in one of their own.

    Raises:
        SourceError: No such converter, a package is missing, or the target cannot be found.
    """
    name, colon, rest = source.partition(":")
    if not colon:
        raise SourceError(f"{source!r} is no source; accepted is CONVERTER:TARGET with {_accepted()}, or a URL")
    if is_url(source):
        raise SourceError(f"{source} is a server already; name what it should serve, such as gym:CartPole-v1")
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found and any(point.name == name for point in entry_points(group=PROVIDERS)):
        raise SourceError(
            f"{source} is an image with a server of its own, which cannot be wrapped: interop.make and "
            f"most commands take it, and interop serve {source} runs it"
        )
    if name not in found:
        raise SourceError(f"{source!r}: there is no converter {name!r}; installed are {_accepted()}")
    target, _, query = rest.partition("?")
    if not target:
        raise SourceError(f"{source!r} names nothing after the colon")
    try:
        wrap = found[name].load()
    except ImportError as exc:
        extra = {"gym": "gymnasium"}.get(name, name)
        raise SourceError(
            f"{source!r} needs a package that is not installed ({exc}); pip install 'openenv-interop[{extra}]'"
        ) from exc
    if how and "how" not in signature(wrap).parameters:
        raise SourceError(f"{source!r} runs in the hub's interpreter: there is no place for {', '.join(how)}")
    made = wrap(target, how, **options_of(source, query)) if how else wrap(target, **options_of(source, query))
    assert isinstance(made, Source)
    return made


def to_source(thing: Any, how: Mapping[str, Any] | None = None) -> Source:
    """The source of anything that can be served: a text, a `Source`, a Gymnasium environment or a factory of one.

    Raises:
        SourceError: It cannot be served; the message says what can.
    """
    if isinstance(thing, str):
        return resolve(thing, how)
    if how:
        raise SourceError(f"{thing!r} is here already: there is no place for {', '.join(how)}")
    if isinstance(thing, Source):
        return thing
    wrap = _gymnasium_wrap(thing)
    if wrap is None:
        raise SourceError(
            f"{thing!r} cannot be served; accepted are a source such as 'gym:CartPole-v1', a Gymnasium environment, "
            "a function that returns one, or an interop.Source"
        )
    made = wrap(thing)
    assert isinstance(made, Source)
    return made


def gymnasium_converter(module: str, name: str) -> Any:
    """Something of the Gymnasium converter beyond its `wrap`. Raises `SourceError` where Gymnasium is missing."""
    # An entry point is the only way from here to a converter.
    (point,) = entry_points(group=GROUP, name="gym")
    package = point.module.rpartition(".")[0]
    try:
        return getattr(import_module(f"{package}.{module}"), name)
    except ImportError as exc:
        raise SourceError(f"Gymnasium is not installed ({exc}); pip install 'openenv-interop[gymnasium]'") from exc


def _gymnasium_wrap(thing: Any) -> Any:
    if hasattr(thing, "reset") and hasattr(thing, "action_space") and not isinstance(thing, type):
        return gymnasium_converter("wrap", "wrap_environment")
    return gymnasium_converter("wrap", "wrap_factory") if callable(thing) else None


def options_of(source: str, query: str) -> dict[str, str]:
    """What stands behind the question mark. Raises `SourceError`."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as exc:
        raise SourceError(f"{source!r}: {query!r} is not key=value[&key=value...]: {exc}") from None
    return dict(pairs)


def _accepted() -> str:
    return ", ".join(sorted(f"{point.name}:" for point in entry_points(group=GROUP))) or "none"
