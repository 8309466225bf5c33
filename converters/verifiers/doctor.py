"""What `interop doctor` says of verifiers."""

from __future__ import annotations

from interop.doctor import Finding, installed


def examine() -> list[Finding]:
    """uv, which makes the interpreters that verifiers is in."""
    return [installed("uv", "uv", "verifiers", "verifiers: sources without --python")]
