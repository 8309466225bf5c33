"""What the official package says of servers: `python official_validators.py < SERVERS`, with a peer's Python.

SERVERS is a JSON array of `{"url", "actions"}`. Prints as many objects `{"criteria", "checks"}`: the six criteria of
`openenv validate --url`, and the wire graders of `openenv validate DIR` (RFC 008), run without Docker by a provider
that hands out the server that runs already.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from openenv.cli._validation import validate_running_environment
from openenv.validation import Level, ProviderCapability, run_validation
from openenv.validation.providers import ExecResult

MANIFEST = """
spec_version: 1
name: some_env
version: 0.1.0
app: server.app:app
validation:
  reward: {range: [-1000000.0, 1000000.0], oracle_tolerance: 0.0, floor_margin: 0.5}
  resources: {cpu: 1.0, memory_mb: 512, disk_mb: 256, episode_timeout_s: 30.0}
  capabilities: {verifier: {kind: reward_channel}}
  types: {tags: [toy]}
  execution: {probe_path: validation/runtime.json, dockerfile: Dockerfile}
"""
GRADED = ("runtime.reward_well_formed", "runtime.observation_schema", "runtime.state_contract")


class Running:
    """A server that runs already."""

    def __init__(self, url: str) -> None:
        self.base_url = url

    def inspect(self) -> dict[str, Any]:
        return {}

    def logs(self, max_bytes: int = 65536) -> str:
        return ""

    def exec(self, argv: list[str], timeout_s: float) -> ExecResult:
        return ExecResult(0, "", "", 0.0)

    def stop(self) -> None:
        pass


class Provider:
    """Hands out a server that runs already."""

    name = "running"
    capabilities = frozenset({ProviderCapability.IMAGE_BUILD, ProviderCapability.EXEC})
    supported_network_modes = frozenset({"public"})

    def __init__(self, url: str) -> None:
        self.url = url

    def build(self, root: Path, execution: object) -> str:
        return "sha256:" + "0" * 64

    def start(self, spec: object) -> Running:
        return Running(self.url)


def criteria(url: str) -> dict[str, bool]:
    report = validate_running_environment(url)
    return {it["id"]: it["passed"] for it in report["criteria"]}


def checks(url: str, actions: list[dict[str, Any]]) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "openenv.yaml").write_text(MANIFEST)
        (root / "Dockerfile").write_text("FROM scratch\n")
        (root / "validation").mkdir()
        plan = {"plan_schema_version": "1", "reset": {"episode_id": "probe", "seed": 3, "options": {}},
                "actions": actions}  # fmt: skip
        (root / "validation/runtime.json").write_text(json.dumps(plan))
        report = run_validation(root, max_level=Level.RUNTIME, provider=Provider(url))
    return {it.check_id: it.status.value for it in report.results if it.check_id in GRADED}


if __name__ == "__main__":
    said = [
        {"criteria": criteria(it["url"]), "checks": checks(it["url"], it["actions"])} for it in json.load(sys.stdin)
    ]
    json.dump(said, sys.stdout)
