"""A release of harbor that cannot play is named, before anything is played."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

import interop
from converters.harbor import doctor, needs
from interop.errors import SourceError


@pytest.mark.parametrize(("release", "works"), [("0.25.3", False), ("0.9", False), ("0.26.0", True), ("1.0rc1", True)])
def test_releases(monkeypatch: pytest.MonkeyPatch, release: str, works: bool) -> None:
    """What is older than 0.26 is refused by sources and told by the doctor, with what to type."""
    monkeypatch.setitem(sys.modules, "harbor", ModuleType("harbor"))
    monkeypatch.setattr(needs, "version", lambda name: release)
    (found,) = (it for it in doctor.examine() if it.name == "harbor")
    assert found.works == works
    if works:
        needs.require_harbor()
        return
    says = f"harbor {release} is installed, and 0.26 or newer is needed"
    with pytest.raises(SourceError, match=rf"^{says}; pip install 'openenv-interop\[harbor\]'$"):
        interop.wrap("harbor:nowhere")
    assert (found.says, found.fix) == (says, "pip install 'openenv-interop[harbor]'")
