"""Native rollouts: `python native_verifiers.py MODEL_URL ARGUMENTS CASES`, with a peer's Python.

For each case, an index of the training tasks, or a list of them that is a group, verifiers itself asks the model at
MODEL_URL and scores what it said.
Prints a JSON line for each: `reward`, `metrics`, `stop`, `completion`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from contextlib import nullcontext
from typing import Any

from openai import AsyncOpenAI
from v0_kinds import load_environment


def main() -> None:
    url, arguments, cases = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    env = load_environment(**arguments)
    # 0.1.9 has semaphores, and scores if it is told to.
    more = (nullcontext(), nullcontext(), True) if "gen_sem" in inspect.signature(env.run_rollout).parameters else ()
    rows = env.get_dataset()

    async def run() -> None:
        client = _client(url)
        for index in cases:
            if isinstance(index, list):  # a group
                outputs = await env.run_group([rows[one] for one in index], client, "scripted", {})
            else:
                outputs = [await env.run_rollout(rows[index], client, "scripted", {}, *more)]
            for output in outputs:
                print(json.dumps(_shown(output)))

    asyncio.run(run())


def _client(url: str) -> Any:
    try:
        from verifiers.clients import Client  # noqa: F401
        from verifiers.types import ClientConfig
    except ImportError:  # before 0.1.11
        return AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    os.environ["NO_KEY"] = "none"
    return ClientConfig(api_key_var="NO_KEY", api_base_url=url, max_retries=0)


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
