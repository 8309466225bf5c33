"""An episode in harbor's Agent Trajectory Interchange Format, for `harbor view` and whatever else reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harbor.models.trajectories import Agent, Observation, ObservationResult, Step, ToolCall, Trajectory

from converters.harbor.actions import Action, Submit

VERSION = "ATIF-v1.7"
"""The newest that the oldest harbor accepted here reads."""


class Log:
    """What a policy has done in one agent phase."""

    def __init__(self, instruction: str, agent: str, version: str) -> None:
        self._agent = Agent(name=agent, version=version)
        self._steps = [Step(step_id=1, timestamp=_now(), source="user", message=instruction)]

    @property
    def actions(self) -> int:
        """How many actions there were."""
        return len(self._steps) - 1

    def did(self, action: Action, outcome: Mapping[str, Any]) -> None:
        """Note an action and what it has done. No model is known of here, so there are no LLM calls to count."""
        number = len(self._steps) + 1
        call = ToolCall(
            tool_call_id=f"call_{number}", function_name=action.type, arguments=action.model_dump(exclude={"type"})
        )
        result = ObservationResult(source_call_id=call.tool_call_id, content=json.dumps(dict(outcome)))
        self._steps.append(
            Step(
                step_id=number,
                timestamp=_now(),
                source="agent",
                message="",
                tool_calls=[call],
                observation=Observation(results=[result]),
                llm_call_count=0,
            )
        )

    def submitted(self) -> None:
        """Note the end."""
        self.did(Submit(), {})

    def write(self, directory: Path) -> None:
        """Write `trajectory.json`."""
        directory.mkdir(parents=True, exist_ok=True)
        trajectory = Trajectory(schema_version=VERSION, agent=self._agent, steps=self._steps)
        (directory / "trajectory.json").write_text(json.dumps(trajectory.to_json_dict(), indent=2))


def _now() -> str:
    return datetime.now(UTC).isoformat()
