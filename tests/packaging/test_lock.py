"""The lock of an image holds what is installed here to its release."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from interop.packaging import lock
from interop.packaging.lock import locked
from interop.packaging.write import write


def test_all_that_is_needed_is_held() -> None:
    """With the extras that are asked for, and those of what is needed in turn; nothing else."""
    plain = locked(["gymnasium"])
    assert f"numpy=={version('numpy')}" in plain
    assert [it for it in locked(["gymnasium[classic-control]"]) if it not in plain] == [
        f"pygame-ce=={version('pygame-ce')}"
    ]
    assert not any(it.startswith("pytest") for it in plain)


def test_names_that_are_free_are_not_held() -> None:
    """Their needs are."""
    found = locked(["Gymnasium>=1"], ["GYMNASIUM"])
    assert f"numpy=={version('numpy')}" in found
    assert not any(it.startswith("gymnasium") for it in found)


def test_what_no_index_has_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path, what is not installed, what was installed from a path, and a local release."""
    assert locked(["/opt/packages/it.whl", "no-such-thing"]) == []
    assert not any(it.startswith("openenv") for it in locked(["openenv-interop"]))
    monkeypatch.setattr(lock, "_is_local", lambda it: it.name == "numpy")
    assert not any(it.startswith("numpy") for it in locked(["gymnasium"]))


def test_a_package_has_its_lock(tmp_path: Path) -> None:
    """The image installs by it; where all wheels are given they are the lock."""
    write("gym:CartPole-v1", tmp_path / "cart")
    lines = (tmp_path / "cart/packages/lock.txt").read_text().splitlines()
    assert f"numpy=={version('numpy')}" in lines
    assert all(re.fullmatch(r"[a-z0-9-]+==[^ ]+", it) for it in lines)
    assert "-r /opt/packages/requirements.txt -c /opt/packages/lock.txt" in (tmp_path / "cart/Dockerfile").read_text()
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "openenv_interop-0.1.0-py3-none-any.whl").touch()
    write("gym:CartPole-v1", tmp_path / "wheeled", hub=str(wheels))
    assert (tmp_path / "wheeled/packages/lock.txt").read_text().startswith("# The wheels")
