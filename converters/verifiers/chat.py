"""The one action and the one observation of every verifiers environment."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ToolCall(BaseModel):
    """A call of a tool of the environment's."""

    model_config = ConfigDict(extra="forbid")

    name: str
    arguments: dict[str, Any] | str = Field(
        default_factory=dict, description="An object; a text is passed on as it is, as a model may write broken JSON."
    )
    id: str | None = Field(default=None, description="What the tool's message names it by; one is made if it is null.")


class Usage(BaseModel):
    """Tokens of the model call that made the message."""

    model_config = ConfigDict(extra="forbid")

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class ChatAction(BaseModel):
    """The policy's message."""

    model_config = ConfigDict(extra="forbid", title="ChatAction")

    content: str | bool | int | float | None = Field(
        description="What the policy says; may be null where it calls tools. A number, true or false is its JSON text, "
        "as clients that read raw text as JSON send it."
    )
    tool_calls: list[ToolCall] | None = Field(default=None, description="Tools that the policy calls.")
    reasoning: str | None = Field(default=None, description="What the policy thought.")
    usage: Usage | None = Field(
        default=None, description="Tokens that the message took; for the environment's metrics."
    )

    def message(self) -> dict[str, Any]:
        """The message for the worker, whose content is a text or null."""
        said = self.content
        text = said if said is None or isinstance(said, str) else json.dumps(said)
        return {**self.model_dump(), "content": text}


class ChatObservation(BaseModel):
    """What the policy is told."""

    model_config = ConfigDict(title="ChatObservation")

    messages: list[dict[str, Any]] = Field(
        description="Messages since the policy's last one, in the form of OpenAI's chat."
    )
    tools: list[dict[str, Any]] = Field(description="Tools that may be called now: name, description, parameters.")
    agent: str | None = Field(default=None, description="Whose turn it is, where there are several.")
    terminated: bool = Field(default=False, description="Whether the rollout has come to its end.")
    truncated: bool = Field(default=False, description="Whether a limit has ended it.")
    stop: str | None = Field(default=None, description="The condition that ended it.")
    error: str | None = Field(default=None, description="What went wrong; there is no reward then.")
    info: dict[str, Any] = Field(default_factory=dict, description="metrics, weights, usage; nothing of the answer.")
    reward: float | None = None
    done: bool = False


class State(BaseModel):
    """Where the session stands."""

    model_config = ConfigDict(title="State")

    episode_id: str | None = None
    step_count: int = 0
    split: str | None = None
    index: int | None = None
