"""Rollouts of any environment of the v0 API: `python verifiers_rollouts.py DIR MODULE ARGUMENTS MODEL_URL CASES`.

The module is looked for in DIR too. A case is the index of a task; for each, verifiers asks the model at MODEL_URL, and
a JSON line has what came of it: `prompt`, `completion`, `tools`, `reward`, `metrics`, `stop`, `truncated` and `error`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from importlib import import_module
from typing import Any

import verifiers as vf


async def main() -> None:
    directory, module, arguments, url, cases = sys.argv[1:]
    sys.path.insert(0, directory)
    env = import_module(module).load_environment(**json.loads(arguments))
    os.environ["NO_KEY"] = "none"
    client = vf.ClientConfig(api_key_var="NO_KEY", api_base_url=url, max_retries=0)
    rows = env.get_dataset()
    for index in json.loads(cases):
        output = await env.run_rollout(rows[index], client, "scripted", {})
        shown = {
            "prompt": [_plain(message) for message in output["prompt"]],
            "completion": [_plain(message) for message in output["completion"]],
            "tools": [_plain(tool) for tool in output["tool_defs"] or []],
            "reward": output["reward"],
            "metrics": output["metrics"],
            "stop": output["stop_condition"],
            "truncated": output["is_truncated"],
            "error": output["error"] and output["error"]["error_chain_repr"],
        }
        print(json.dumps(shown))


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_none=True) if hasattr(value, "model_dump") else value


if __name__ == "__main__":
    asyncio.run(main())
