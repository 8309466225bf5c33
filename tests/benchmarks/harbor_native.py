"""Trials of harbor's own oracle: what a trial takes in all, s. Run by an interpreter that has harbor.

python harbor_native.py TASK ENVIRONMENT TRIALS
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from harbor.models.trial.config import AgentConfig, EnvironmentConfig, TaskConfig, TrialConfig
from harbor.trial.trial import Trial


async def main(task: str, environment: str, number: int) -> None:
    place = {"import_path": environment} if ":" in environment else {"type": environment}
    with tempfile.TemporaryDirectory() as trials:
        for _ in range(number):
            config = TrialConfig(
                task=TaskConfig(path=Path(task)),
                trials_dir=Path(trials),
                agent=AgentConfig(name="oracle"),
                environment=EnvironmentConfig(**place),
            )
            began = time.perf_counter()
            result = await (await Trial.create(config)).run()
            seconds = time.perf_counter() - began
            rewards = result.verifier_result.rewards if result.verifier_result else None
            assert rewards == {"reward": 1}, result.exception_info
            print(seconds, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
