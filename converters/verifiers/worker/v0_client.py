"""The policy as a client of verifiers 0.1.11 to 0.3.1, and its rollouts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

try:  # 0.3.1 keeps it in verifiers.legacy
    import verifiers.legacy.types as vt
    from verifiers.legacy.clients import Client
except ImportError:
    import verifiers.types as vt
    from verifiers.clients import Client

from lane import MODEL, chat_completion

GROUPS = True
"""Whether the rollouts of a group can be told apart."""


class PolicyClient(Client):
    """A client whose completions are the actions; `ask` takes messages, tools and the rollout's state."""

    def __init__(self, ask: Callable[[Any, Any, Any], Awaitable[Any]]) -> None:
        super().__init__(object())
        self._ask = ask

    async def get_response(self, prompt: Any, model: str, sampling_args: Any, tools: Any = None, **more: Any) -> Any:
        """Wait for the policy."""
        return await self._ask(prompt, tools or [], more.get("state"))

    async def _unreached(self, *arguments: Any, **more: Any) -> Any:
        """What stands between that and a provider."""
        raise NotImplementedError

    to_native_tool = to_native_prompt = get_native_response = _unreached
    raise_from_native_response = from_native_response = _unreached

    def setup_client(self, config: Any) -> Any:
        """There is nothing to set up."""

    async def close(self) -> None:
        """There is nothing to close."""


def adopt(env: Any) -> None:
    """Make an environment ready: here it is."""


def tools(env: Any) -> list[Any]:
    """The tools of an environment."""
    return getattr(env, "tool_defs", None) or []


async def run(
    env: Any, row: Mapping[str, Any], client: PolicyClient, sampling: Mapping[str, Any], group: int | None
) -> list[Any]:
    """verifiers' own rollout of a task, or a group of them, scored."""
    if group is None:
        return [await env.run_rollout(row, client, MODEL, sampling)]
    return list(await env.run_group([row] * group, client, MODEL, sampling))


def completion(action: Mapping[str, Any], ids: set[str]) -> Any:
    """The response of a model that says what the action says; a tool call whose id is taken gets another."""
    answer = chat_completion(action, ids)
    choice, usage = answer["choices"][0], answer.get("usage")
    message = choice["message"]
    calls = [vt.ToolCall(id=call["id"], **call["function"]) for call in message.get("tool_calls", ())]
    return vt.Response(
        id=answer["id"],
        created=answer["created"],
        model=MODEL,
        usage=usage and vt.Usage(reasoning_tokens=0, **usage),
        message=vt.ResponseMessage(
            content=message["content"],
            tool_calls=calls or None,
            reasoning_content=message.get("reasoning_content"),
            finish_reason=choice["finish_reason"],
            is_truncated=False,
            tokens=None,
        ),
    )
