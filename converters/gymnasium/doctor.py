"""What `interop doctor` says of Gymnasium."""

from __future__ import annotations

from interop.doctor import Finding, installed


def examine() -> list[Finding]:
    """Gymnasium itself."""
    return [installed("Gymnasium", "gymnasium", "gymnasium", "gym: sources, interop.make and interop play")]
