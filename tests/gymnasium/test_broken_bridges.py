"""The oracle and the contract see every broken bridge, and nothing wrong with the healthy ones."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.gymnasium.broken import BRIDGES, HEALTHY, Bridge
from tests.gymnasium.broken.bridge import judge
from tests.gymnasium.contract import CHECKS
from tests.gymnasium.roundtrip import KINDS

ALL = {f"contract.{name}" for name in CHECKS} | {f"differential.{kind}" for kind in KINDS}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("bridge", HEALTHY, ids=lambda bridge: bridge.name)
def test_a_healthy_bridge_passes_all(bridge: Bridge) -> None:
    """No check has anything to say of the bridge as it is."""
    assert judge(bridge) == {}


@pytest.mark.parametrize("bridge", BRIDGES, ids=lambda bridge: bridge.name)
def test_a_broken_bridge_is_seen(bridge: Bridge) -> None:
    """Each check that the table names for a broken bridge fails on it."""
    assert bridge.killed_by
    assert set(bridge.killed_by) <= judge(bridge, only=bridge.killed_by).keys()


def test_the_table_is_well_formed() -> None:
    """There are thirty broken bridges at least, by different names, and the table names no check that is not there."""
    names = Counter(bridge.name for bridge in BRIDGES)
    assert len(names) >= 30
    assert set(names.values()) == {1}
    assert {check for bridge in BRIDGES for check in bridge.killed_by} <= ALL


def test_every_check_can_fail() -> None:
    """Each check of the contract, and each kind of difference, is named by a broken bridge that it sees."""
    assert {check for bridge in BRIDGES for check in bridge.killed_by} == ALL


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_healthy_bridge_passes_again_after_all_broken_ones() -> None:
    """No broken bridge leaves anything behind in the process that makes a healthy one fail."""
    for bridge in BRIDGES:
        assert judge(bridge), bridge.name
    for bridge in HEALTHY:
        assert judge(bridge) == {}
