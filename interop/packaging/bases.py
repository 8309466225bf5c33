"""The base classes of a package's models: openenv's own where it is installed, else the same without it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Action", "Observation", "State"]

try:
    from openenv.core.env_server.types import Action, Observation, State
except ImportError:

    class Action(BaseModel):  # type: ignore[no-redef]
        """What a client sends with a step."""

        model_config = ConfigDict(extra="forbid", validate_assignment=True)

        metadata: dict[str, Any] = Field(default_factory=dict)

    class Observation(BaseModel):  # type: ignore[no-redef]
        """What a reset and a step return."""

        model_config = ConfigDict(extra="forbid", validate_assignment=True)

        done: bool = False
        reward: bool | int | float | None = None
        metadata: dict[str, Any] = Field(default_factory=dict)

    class State(BaseModel):  # type: ignore[no-redef]
        """Where an episode stands."""

        model_config = ConfigDict(extra="allow", validate_assignment=True)

        episode_id: str | None = None
        step_count: int = Field(default=0, ge=0)
