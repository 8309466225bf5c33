"""The conformance suite as the hub sees it: found through its entry point, so that neither needs the other to load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

GROUP = "interop.conformance"


class Requirement(Protocol):
    """One sentence a server must meet, as `docs/protocol.md` has it."""

    @property
    def id(self) -> str: ...
    @property
    def area(self) -> str: ...
    @property
    def level(self) -> str:
        """`MUST`, `SHOULD` or `MAY`."""

    @property
    def sentence(self) -> str: ...
    @property
    def section(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def since(self) -> int:
        """The protocol revision since which it holds."""

    @property
    def profile(self) -> str: ...
    @property
    def fix(self) -> str: ...
    @property
    def untestable(self) -> str:
        """Why no check judges it; empty where one does."""


class Result(Protocol):
    """The verdict on one requirement."""

    @property
    def requirement(self) -> Requirement: ...
    @property
    def outcome(self) -> str:
        """`pass`, `fail`, `warn`, `not_applicable` or `untested`."""

    @property
    def message(self) -> str:
        """What was seen; empty where there is nothing to say."""


@runtime_checkable
class Report(Protocol):
    """The verdict on a server by the requirements of a profile."""

    @property
    def target(self) -> str: ...
    @property
    def profile(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def results(self) -> Sequence[Result]: ...
    @property
    def expected(self) -> Mapping[str, str]:
        """Requirements that are known not to be met, with reasons."""

    @property
    def certified(self) -> bool:
        """Whether no requirement that makes a certificate fails."""

    @property
    def ok(self) -> bool:
        """Whether it is certified, or not certified exactly as expected."""

    @property
    def findings(self) -> Sequence[Result]:
        """What is not met: failures, then warnings."""

    @property
    def unexpected(self) -> Sequence[Result]:
        """The failures that are not expected."""

    @property
    def stale(self) -> Sequence[str]:
        """The expected ids that are no findings now."""

    @property
    def counts(self) -> Mapping[Any, int]:
        """How many requirements have each outcome."""

    def document(self) -> dict[str, Any]:
        """The report as JSON."""

    def write(self, directory: Path) -> Sequence[Path]:
        """Write it as JSON, JUnit, HTML and a badge, with the evidence, and return the paths."""


def suite() -> Any:
    """The module `conformance.api`."""
    from importlib.metadata import entry_points  # half of what `interop --version` would cost

    (point,) = entry_points(group=GROUP, name="suite")
    return point.load()
