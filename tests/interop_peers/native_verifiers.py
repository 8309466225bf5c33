"""Native rollouts: `python native_verifiers.py MODEL_URL ARGUMENTS CASES`, with a peer's Python.

For each case, an index of the training tasks, verifiers itself asks the model at MODEL_URL and scores what it said.
Prints a JSON line for each: `reward`, `metrics`, `stop`, `completion`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import verifiers as vf
from v0_kinds import load_environment


def main() -> None:
    url, arguments, cases = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    os.environ["NO_KEY"] = "none"
    env = load_environment(**arguments)
    client = vf.ClientConfig(api_key_var="NO_KEY", api_base_url=url, max_retries=0)
    rows = env.get_dataset()

    async def run() -> None:
        for index in cases:
            output = await env.run_rollout(rows[index], client, "scripted", {})
            print(json.dumps(_shown(output)))

    asyncio.run(run())


def _shown(output: Any) -> dict[str, Any]:
    completion = [_message(message) for message in output["completion"]]
    return {
        "reward": output["reward"],
        "metrics": output["metrics"],
        "stop": output["stop_condition"],
        "completion": completion,
    }


def _message(message: Any) -> Any:
    return message.model_dump(mode="json", exclude_none=True) if hasattr(message, "model_dump") else message


if __name__ == "__main__":
    main()
