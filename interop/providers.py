"""Where images run: `docker:IMAGE`, and what other packages provide (entry points, group `interop.providers`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

from interop.errors import SourceError
from interop.server import Server, Settings
from interop.sources import PROVIDERS, is_url, options_of, to_source

MOST = 4096
"""Sessions of a server of one's own, at a time: as many sub-environments as a vector may have."""


class Running(Protocol):
    """A server that was started for somebody, who stops it."""

    @property
    def url(self) -> str:
        """Where it answers."""

    @property
    def id(self) -> str:
        """What its provider calls it."""

    def ended(self) -> str:
        """Why it has ended by itself, with its last words; empty while it runs. Raises nothing."""

    def wait(self) -> None:
        """Return never: raises `InteropError` when it ends by itself."""

    def stop(self) -> None:
        """End it and remove what it leaves. May be called again."""


class Provider(Protocol):
    """Runs images, each with a server at its port 8000. The entry point `NAME` provides `NAME:IMAGE?OPTIONS`."""

    def start(self, image: str, options: Mapping[str, str], *, host: str, port: int, token: str | None) -> Running:
        """Start one and wait until `GET /health` is answered with 200; what was killed meanwhile leaves nothing.

        Args:
            image: What the user named.
            options: Limits and the like, as the provider knows them: `memory=1g` of `docker:IMAGE?memory=1g`.
            host: The address that it shall answer at, for providers that run images on this machine.
            port: The port there; 0 takes a free one.
            token: The bearer token that the server shall ask for, as its variable INTEROP_TOKEN.

        Raises:
            SourceError: It cannot be started as it was asked for.
            InteropError: It ends, or does not answer in time.
        """


@dataclass(frozen=True, slots=True)
class Image:
    """What a text such as `docker:cartpole?memory=1g` names."""

    text: str
    provider: Provider
    name: str
    options: Mapping[str, str]

    def start(self, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None) -> Running:
        """Run it. Raises as `Provider.start`."""
        return self.provider.start(self.name, self.options, host=host, port=port, token=token)


def image_of(source: Any) -> Image | None:
    """The image that a text names; None where it names something else. Raises `SourceError`."""
    if not isinstance(source, str) or is_url(source):
        return None
    scheme, _, rest = source.partition(":")
    found = [point for point in entry_points(group=PROVIDERS) if point.name == scheme]
    if not found:
        return None
    name, _, query = rest.partition("?")
    if not name:
        raise SourceError(f"{source!r} names no image after the colon")
    return Image(source, found[0].load()(), name, options_of(source, query))


@dataclass(frozen=True, slots=True)
class Started:
    """A server of somebody's own.

    Attributes:
        url: Where it answers.
        stop: Ends it. May be called again.
        ended: Why it has ended by itself; empty while it runs.
    """

    url: str
    stop: Callable[[], None]
    ended: Callable[[], str]


def started(source: Any, *, token: str | None = None) -> Started:
    """Start a server for a source or an image.

    Args:
        source: What `interop.serve` takes, or an image.
        token: The bearer token that the server of an image shall ask for; that of a source asks for none.

    Raises:
        SourceError: It cannot be served.
        InteropError: The server does not start.
    """
    image = image_of(source)
    if image is not None:
        running = image.start(token=token)
        return Started(running.url, running.stop, running.ended)
    # How many sessions there are is up to whoever has started it.
    server = Server(to_source(source), port=0, settings=Settings(max_sessions=MOST))
    server.start()
    return Started(server.url, server.stop, str)
