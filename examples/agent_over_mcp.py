"""Let a language model play an episode: an orchestrator begins it, a harness gives its tools to the model.

The orchestrator has the seed and the rewards. The harness gets an address and a token, and never sees either.

    python examples/agent_over_mcp.py                                       # CartPole, and a scripted model: offline
    python examples/agent_over_mcp.py gym:FrozenLake-v1 --api anthropic --model NAME     # ANTHROPIC_API_KEY
    python examples/agent_over_mcp.py http://HOST:8000 --model NAME --model-url http://127.0.0.1:11434/v1
"""

import argparse
import json
import os
import sys
from contextlib import ExitStack
from typing import Any

import httpx
from scripted_model import Call, Messages, Reply, ScriptedModel, tool_results

import interop

PROMPT = "Play this episode with your tools until an observation says that it is terminated or truncated."


class Door:
    """An agent's door to an episode: as much of MCP Streamable HTTP as it takes."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        self.url, self.http = url, httpx.Client(headers=headers, timeout=120)
        opening = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}}
        response = self.post({"id": 0, "method": "initialize", "params": opening})
        self.opening = response.json()["result"]
        self.http.headers["Mcp-Session-Id"] = response.headers["Mcp-Session-Id"]
        self.http.headers["MCP-Protocol-Version"] = self.opening["protocolVersion"]
        self.post({"method": "notifications/initialized"})

    def ask(self, method: str, **params: Any) -> Any:
        """The result of a request; servers of this project answer each with one JSON document."""
        answer = self.post({"id": 1, "method": method, "params": params}).json()
        if "error" in answer:
            sys.exit(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def post(self, message: dict[str, Any]) -> httpx.Response:
        return checked(self.http.post(self.url, json={"jsonrpc": "2.0", **message}))


class Model:
    """A model that is asked by OpenAI's chat completions."""

    url, path, key = "https://api.openai.com/v1", "/chat/completions", "OPENAI_API_KEY"

    def __init__(self, url: str, name: str, tools: list[Any], prompt: str) -> None:
        self.http = httpx.Client(headers=self.headers(os.environ.get(self.key, "none")), timeout=300)
        self.url = url + self.path
        self.messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
        self.request = {"model": name, "messages": self.messages, "tools": [self.tool(tool) for tool in tools]}

    def headers(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def tool(self, tool: Any) -> Any:
        """A tool of MCP as the API has it."""
        about = {"name": tool["name"], "description": tool.get("description", ""), "parameters": tool["inputSchema"]}
        return {"type": "function", "function": about}

    def ask(self) -> list[tuple[str, str, Any]]:
        """The calls that the model wants next: id, name and arguments of each."""
        message = checked(self.http.post(self.url, json=self.request)).json()["choices"][0]["message"]
        self.messages.append(message)
        calls = [(call["id"], call["function"]) for call in message.get("tool_calls") or []]
        return [(id, call["name"], arguments(call["arguments"])) for id, call in calls]

    def tell(self, results: list[tuple[str, str, bool]]) -> None:
        """Give it the results of its calls: the id, the text and whether it failed, of each."""
        self.messages += [{"role": "tool", "tool_call_id": id, "content": text} for id, text, _ in results]


class Claude(Model):
    """The same by Anthropic's messages."""

    url, path, key = "https://api.anthropic.com", "/v1/messages", "ANTHROPIC_API_KEY"

    def headers(self, key: str) -> dict[str, str]:
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}

    def tool(self, tool: Any) -> Any:
        return {"name": tool["name"], "description": tool.get("description", ""), "input_schema": tool["inputSchema"]}

    def ask(self) -> list[tuple[str, str, Any]]:
        answer = checked(self.http.post(self.url, json={"max_tokens": 4096, **self.request})).json()
        self.messages.append({"role": "assistant", "content": answer["content"]})
        calls = [block for block in answer["content"] if block["type"] == "tool_use"]
        return [(call["id"], call["name"], call["input"]) for call in calls]

    def tell(self, results: list[tuple[str, str, bool]]) -> None:
        content = [
            {"type": "tool_result", "tool_use_id": id, "content": text, "is_error": failed}
            for id, text, failed in results
        ]
        self.messages.append({"role": "user", "content": content})


APIS = {"openai": Model, "anthropic": Claude}


def harness(door: Door, model: Model, turns: int) -> None:
    """The loop: the model calls tools, and is told what came of it, until the episode is over or it calls none."""
    for _ in range(turns):
        over, results = False, []
        calls = model.ask()
        for id, name, arguments in calls:
            result = door.ask("tools/call", name=name, arguments=arguments)
            seen = result.get("structuredContent") or {}
            over = over or bool(seen.get("terminated") or seen.get("truncated"))
            text = "\n".join(part["text"] for part in result["content"] if part["type"] == "text")
            results.append((id, text, result.get("isError", False)))
        if over or not calls:
            return
        model.tell(results)


def lean(messages: Messages) -> Reply:
    """What the scripted model does: look first, then push the cart to where the pole leans."""
    seen = tool_results(messages)
    if not seen:
        return Reply(text="Let me look.", calls=[Call(name="observe")])
    obs = json.loads(seen[-1]).get("obs")
    if not isinstance(obs, list) or len(obs) != 4:
        raise ValueError("the scripted model knows CartPole alone; give another one with --model")
    angle = obs[2]
    return Reply(calls=[Call(name="act", arguments={"action": int(angle > 0)})])


def arguments(text: str) -> Any:
    """What a model wrote as arguments; where that is no JSON, the text, which the environment refuses."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def checked(response: httpx.Response) -> httpx.Response:
    """The response, unless it is a refusal, which ends the program with its words."""
    if response.is_error:
        sys.exit(f"{response.request.method} {response.url}: {response.status_code} {response.text}")
    return response


def main() -> None:
    parser = argparse.ArgumentParser(description="Let a language model play an episode over MCP.")
    parser.add_argument("environment", nargs="?", default="gym:CartPole-v1", help="what to serve, or a server's URL")
    parser.add_argument("--api", choices=APIS, default="openai")
    parser.add_argument("--model", help="without it a scripted model plays, which knows CartPole alone")
    parser.add_argument("--model-url", help="the base URL that the API's own SDK takes; by default its maker's")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--turns", type=int, default=200, help="how often the model is asked at most")
    options = parser.parse_args()
    with ExitStack() as stack:
        url, api = options.environment.rstrip("/"), APIS[options.api]
        if not url.startswith("http"):
            url = stack.enter_context(interop.serve(url)).url
        model_url = (options.model_url or api.url).rstrip("/")
        if options.model is None:
            model_url = stack.enter_context(ScriptedModel(lean)).url + ("/v1" if options.api == "openai" else "")

        # The orchestrator begins the episode ...
        handle = checked(httpx.post(f"{url}/sessions", json={"seed": options.seed}, timeout=120)).json()
        session = f"{url}/sessions/{handle['session_id']}"
        stack.callback(httpx.delete, session)
        # ... the harness gets a door to it and nothing else ...
        door = Door(handle["mcp_url"], handle["token"])
        stack.callback(door.http.close)
        prompt = f"{door.opening.get('instructions', '')}\n\n{PROMPT}"
        model = api(model_url, options.model or "scripted", door.ask("tools/list")["tools"], prompt)
        stack.callback(model.http.close)
        harness(door, model, options.turns)
        # ... and the orchestrator knows how it went.
        result = checked(httpx.get(f"{session}/result")).json()
        print(f"{result['steps']} steps, return {result['return']}, {'over' if result['done'] else 'not over'}")


if __name__ == "__main__":
    main()
