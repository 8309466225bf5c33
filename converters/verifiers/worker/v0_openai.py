"""The policy as what verifiers 0.1.9 and 0.1.10 ask of `AsyncOpenAI`, and its rollouts."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from lane import MODEL, Refused, chat_completion
from openai.types.chat import ChatCompletion

GROUPS = False
"""Whether the rollouts of a group can be told apart: a call does not say whose it is."""


class PolicyClient:
    """A client whose completions are the actions; `ask` takes messages, tools and the rollout's state."""

    def __init__(self, ask: Callable[[Any, Any, Any], Awaitable[Any]]) -> None:
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=self._create))
        self.env: Any = None
        self.state: Any = None
        self._ask = ask

    async def _create(self, *, messages: Any, tools: Any = None, **more: Any) -> Any:
        return await self._ask(messages, [tool["function"] for tool in tools or ()], self.state)


def adopt(env: Any) -> None:
    """Let an environment tell the client the state of its rollout. Raises `Refused`."""
    if env.message_type != "chat":
        raise Refused(f"a {type(env).__name__} of message_type {env.message_type!r} is not played; accepted is 'chat'")
    begin = env.init_state

    async def init_state(task: Any, client: PolicyClient, *more: Any, **others: Any) -> Any:
        client.env, client.state = env, await begin(task, client, *more, **others)
        return client.state

    env.init_state = init_state


def tools(env: Any) -> list[Any]:
    """The tools of an environment."""
    return [tool["function"] for tool in getattr(env, "oai_tools", None) or []]


async def run(
    env: Any, row: Mapping[str, Any], client: PolicyClient, sampling: Mapping[str, Any], group: int | None
) -> list[Any]:
    """verifiers' own rollout of a task, scored, by what scores groups where `group` is 1."""
    # 0.1.9 wants semaphores, does not score unless it is told to, and cleans up no rollout that is cancelled.
    is_older = "gen_sem" in inspect.signature(env.run_rollout).parameters
    limits = (nullcontext(), nullcontext()) if is_older else ()
    scored = {"score": True} if is_older else {}
    try:
        if group is None:
            return [await env.run_rollout(row, client, MODEL, sampling, *limits, **scored)]
        return list(await env.run_group([row], client, MODEL, sampling, *limits, **scored))
    except asyncio.CancelledError:
        if is_older and client.state is not None and not client.state["is_completed"]:
            await client.env._cleanup(client.state)
        raise


def completion(action: Mapping[str, Any], ids: set[str]) -> Any:
    """The completion of a model that says what the action says; a tool call whose id is taken gets another."""
    return ChatCompletion.model_validate(chat_completion(action, ids))
