"""Trials by harbor itself: of one task with agents named `oracle`, `nop` or `attack`; a line of JSON for each.

    python harbor_trials.py ENVIRONMENT TASK TRIALS AGENT...

ENVIRONMENT is `docker` or the import path of another of harbor's environments. For `attack`, `said` is what
`harbor_attack.py` found.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("HARBOR_TELEMETRY", "0")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from harbor.agents.base import BaseAgent  # noqa: E402
from harbor.agents.capabilities import AgentCapabilities  # noqa: E402
from harbor.models.trial.config import AgentConfig, EnvironmentConfig, TaskConfig, TrialConfig  # noqa: E402
from harbor.trial.trial import Trial  # noqa: E402


class AttackAgent(BaseAgent):
    """Runs the attack as the task's agent."""

    capabilities = AgentCapabilities(mcp_servers=True)

    @staticmethod
    def name() -> str:
        return "attack"

    def version(self) -> str:
        return "1"

    async def setup(self, environment: Any) -> None:
        await environment.upload_file(HERE / "harbor_attack.py", "/tmp/harbor_attack.py")

    async def run(self, instruction: str, environment: Any, context: Any) -> None:
        # It asks every port, which must not be those of the machine that runs the tests.
        network = (await environment.exec("readlink /proc/self/ns/net")).stdout or ""
        if not network.startswith("net:") or network.strip() == os.readlink("/proc/self/ns/net"):
            raise RuntimeError(f"no attack in the network of this machine: {network!r}")
        done = await environment.exec("python3 /tmp/harbor_attack.py", timeout_sec=300)
        context.metadata = {"said": done.stdout, "error": done.stderr}


async def main(environment: str, task: str, trials: str, *agents: str) -> None:
    where = {"type": "docker"} if environment == "docker" else {"import_path": environment}
    for agent in agents:
        how = {"import_path": "harbor_trials:AttackAgent"} if agent == "attack" else {"name": agent}
        config = TrialConfig(
            task=TaskConfig(path=Path(task)),
            trial_name=agent,
            trials_dir=Path(trials),
            agent=AgentConfig(**how),
            environment=EnvironmentConfig(**where),
        )
        result = await (await Trial.create(config)).run()
        verified, failed = result.verifier_result, result.exception_info
        context = result.agent_result.metadata if result.agent_result is not None else None
        line = {
            "agent": agent,
            "rewards": None if verified is None else verified.rewards,
            "exception": None if failed is None else f"{failed.exception_type}: {failed.exception_message}",
            "said": (context or {}).get("said"),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
