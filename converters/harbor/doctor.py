"""What `interop doctor` says of harbor."""

from __future__ import annotations

from converters.harbor.sandbox import usable
from interop.doctor import Finding, installed


def examine() -> list[Finding]:
    """harbor itself, and the sandbox that needs no Docker."""
    why_not = usable()
    sandbox = Finding(
        name="namespace sandbox",
        works=why_not is None,
        says=why_not or "started one and ran a command in it",
        fix="use --sandbox docker",
    )
    return [installed("harbor", "harbor", "harbor", "harbor: sources"), sandbox]
