"""What `interop doctor` says of harbor."""

from __future__ import annotations

from converters.harbor.needs import require_harbor
from converters.harbor.sandbox import usable
from interop.doctor import Finding, installed
from interop.errors import SourceError


def examine() -> list[Finding]:
    """harbor itself, and the sandbox that needs no Docker."""
    why_not = usable()
    sandbox = Finding(
        name="namespace sandbox",
        works=why_not is None,
        says=why_not or "started one and ran a command in it",
        fix="use --sandbox docker",
    )
    return [_harbor(), sandbox]


def _harbor() -> Finding:
    found = installed("harbor", "harbor", "harbor", "harbor: sources")
    if not found.works:
        return found
    try:
        require_harbor()
    except SourceError as exc:
        says, _, fix = str(exc).partition("; ")
        return Finding(name=found.name, works=False, says=says, fix=fix)
    return found
