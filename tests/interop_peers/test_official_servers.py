"""The official servers that other tests and the benchmarks talk to start in their virtual environments."""

from __future__ import annotations

import httpx
import pytest

from tests.interop_peers.conftest import Serve

KEYS = {"probe": "value", "echo": "echoed_message", "cartpole": "obs", "frames": "obs"}
SERVERS = [("0.10.0", name) for name in KEYS] + [
    (version, name) for version in ("0.7.0", "0.4.2", "0.3.0") for name in KEYS if name != "cartpole"
]


@pytest.mark.slow  # each imports openenv, 8 s
@pytest.mark.parametrize(("version", "name"), SERVERS)
def test_server_starts(serve_official: Serve, version: str, name: str) -> None:
    """A server of each official version answers a reset with the environment's own field."""
    with serve_official(name, version) as url:
        answer = httpx.post(f"{url}/reset", json={"seed": 1}, trust_env=False).json()
        assert KEYS[name] in answer["observation"]
