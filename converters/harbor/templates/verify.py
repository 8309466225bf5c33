"""The episode's result as the task's reward. Where no reward is known none is written, so that harbor says so."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

RESULT = "/var/lib/openenv/result.json"
REWARD = "/logs/verifier/reward.json"


def reward(rule: str, result: dict[str, Any]) -> float:
    """The reward by a rule: `return`, the sum of the episode's rewards, or `last`, that of its last step.

    Raises `ValueError` where it is not known: what fails at its end has no return, and no step has no last reward.
    """
    rewards = result["rewards"]
    if rule == "last" or (rewards and result["done"]):
        known = bool(rewards) and rewards[-1] is not None
    else:
        known = not rewards or any(one is not None for one in rewards)
    if not known:
        raise ValueError(f"no reward is known by the rule {rule!r}")
    counted = [one for one in rewards if one is not None] if rule == "return" else [rewards[-1]]
    for one in counted:
        if not isinstance(one, (int, float)) or not math.isfinite(one):
            raise ValueError(f"{one!r} is no finite number")
    return sum(counted, 0.0)


def main(rule: str) -> None:
    """Write the reward, and beside it what else is a number."""
    with open(RESULT, encoding="utf-8") as file:
        result = json.load(file)
    print(json.dumps(result))
    rewards = {"reward": reward(rule, result), "steps": result["steps"], "done": int(result["done"])}
    if isinstance(result["return"], (int, float)):
        rewards["return"] = result["return"]
    with open(REWARD, "w", encoding="utf-8") as file:
        json.dump(rewards, file)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (OSError, ValueError) as exc:
        sys.exit(f"no reward: {exc}")
