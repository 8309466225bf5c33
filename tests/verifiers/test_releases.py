"""Releases of verifiers that are not played are refused when an environment is loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import interop
from interop.errors import SourceError


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("0.1.5", "verifiers 0.1.5 is not played; accepted are 0.1.9 and newer"),
        ("0.1.14", "has no load_environment; its v1 API is played by verifiers 0.3.0 on, not 0.1.14"),
        (None, "has no verifiers"),
    ],
)
def test_a_release_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str | None, words: str) -> None:
    """The error says which release is there, and which are accepted."""
    (tmp_path / "some_env.py").write_text("__all__ = ['SomeTaskset']\n")
    if release is not None:
        about = tmp_path / f"verifiers-{release}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: verifiers\nVersion: {release}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SourceError, match="some_env") as raised:
        interop.wrap("verifiers:some_env", python=sys.executable).describe()
    assert words in str(raised.value)
