"""What an OpenEnv environment is and which tasks it has, asked of a server of ours, which is started where needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from converters.harbor.remote import RemoteSource
from interop.client import ClientOptions, Session
from interop.client._common import http_url
from interop.errors import ConnectError, InteropError, SourceError
from interop.server import Server
from interop.server.tools import shown
from interop.sources import is_url, resolve

TIMEOUT = 600.0
"""Seconds for an answer: a session is built for each task."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """The beginning of a task's episode.

    Attributes:
        key: What tells it from the environment's others: `train-3`, `seed-7`.
        reset: The arguments of its reset.
        first: The first observation, as an agent sees it.
        tools: The agent's tools, as MCP lists them.
    """

    key: str
    reset: Mapping[str, Any]
    first: Mapping[str, Any]
    tools: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """An environment.

    Attributes:
        name: Its name.
        description: What it says of itself.
        sessions: Whether its server begins episodes for harnesses (`POST /sessions`), as those of the hub do.
        starts: Its tasks.
    """

    name: str
    description: str
    sessions: bool
    starts: Sequence[Start]


def survey(
    target: str,
    *,
    tasks: int | None = None,
    seeds: int | None = None,
    split: str | None = None,
    token: str | None = None,
) -> Survey:
    """Ask an environment, and begin each of its tasks once.

    Args:
        target: A source or the address of a server.
        tasks: Only the first ones of the split.
        seeds: Instead of tasks, the seeds from 0 on. One, if there is no Task API and nothing is said.
        split: The split; the first that has tasks if there is none.
        token: The server's bearer token.

    Raises:
        SourceError: There are no such tasks, or the source is none.
        ConnectError: No server is there.
        InteropError: An episode cannot be begun.
    """
    with _hub(target, token) as (url, known, sessions):
        with httpx.Client(headers=_headers(token), timeout=TIMEOUT, trust_env=False) as http:
            resets = _resets(_Tasks(http, url if known is None else known), tasks, seeds, split)
            about = _json(http, "GET", f"{url}/metadata") or {}
        name = str(about.get("name") or "environment")
        options = ClientOptions(headers=_headers(token), timeout=TIMEOUT, binary=False)
        starts = [_start(url, options, key, reset) for key, reset in resets.items()]
    return Survey(name=name, description=str(about.get("description") or ""), sessions=sessions, starts=starts)


@contextmanager
def _hub(target: str, token: str | None) -> Iterator[tuple[str, str | None, bool]]:
    """A server of ours; the address of the server behind it, and whether that gives sessions to harnesses."""
    if not is_url(target):
        with Server(resolve(target), port=0) as server:
            yield server.url, None, True
        return
    url = http_url(target)
    with httpx.Client(headers=_headers(token), timeout=TIMEOUT, trust_env=False) as http:
        openapi = _json(http, "GET", f"{url}/openapi.json") or {}
    if "/sessions" in openapi.get("paths", {}):
        yield url, None, True
        return
    with Server(RemoteSource(url, token), port=0) as server:
        yield server.url, url, False


def _start(url: str, options: ClientOptions, key: str, reset: Mapping[str, Any]) -> Start:
    session = Session(url, options)
    try:
        first = session.reset(**reset).observation
        answer = session.request("mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}})
    except InteropError as exc:
        raise InteropError(f"the task {key} does not begin by a reset with {dict(reset)}: {exc}") from exc
    finally:
        session.close()
    if "error" in answer:
        raise InteropError(f"the task {key} has no list of tools: {answer['error'].get('message')}")
    return Start(key=key, reset=reset, first=shown(first), tools=answer["result"]["tools"])


def _resets(api: _Tasks, tasks: int | None, seeds: int | None, split: str | None) -> dict[str, dict[str, Any]]:
    """The arguments of the reset of each task, by its key."""
    if seeds is not None:
        if tasks is not None or split is not None:
            raise SourceError("seeds are given instead of tasks and a split; leave out one of them")
        return {f"seed-{seed}": {"seed": seed} for seed in range(seeds)}
    sizes = api.sizes()
    if not sizes and (tasks is not None or split is not None):
        raise SourceError(f"{api.url} has no tasks; give --seeds N, a task for each")
    if not sizes:
        return {"seed-0": {"seed": 0}}
    split = next(iter(sizes)) if split is None else split
    if split not in sizes:
        raise SourceError(f"{api.url} has no tasks in a split {split!r}; it has {', '.join(sizes)}")
    size = sizes[split]
    if tasks is not None and tasks > size:
        raise SourceError(f"{tasks} tasks are more than there are: {split} has {size}")
    return {f"{split}-{index}": {"split": split, "index": index} for index in range(size if tasks is None else tasks)}


class _Tasks:
    """The Task API of a server."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self._http = http
        self.url = url

    def sizes(self) -> dict[str, int]:
        """How many tasks each split has that has any."""
        names = _json(self._http, "GET", f"{self.url}/list_environments")
        if not isinstance(names, list) or not names:
            return {}
        base = f"{self.url}/{quote(str(names[0]), safe='')}"
        found = {}
        for split in _json(self._http, "GET", f"{base}/splits") or []:
            name = str(split["name"] if isinstance(split, dict) else split)
            counted = _json(self._http, "POST", f"{base}/num_tasks", {"split": name})
            if counted and counted.get("num_tasks"):
                found[name] = int(counted["num_tasks"])
        return found


def _headers(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _json(http: httpx.Client, method: str, address: str, body: Any = None) -> Any:
    """The JSON of an answer; None where there is no such route. Raises `ConnectError`."""
    try:
        response = http.request(method, address, json=body)
    except httpx.HTTPError as exc:
        raise ConnectError(f"no server answers at {address}: {exc}") from exc
    if response.status_code in (401, 403):
        raise ConnectError(f"{address} wants a bearer token; give it with --token or INTEROP_TOKEN")
    try:
        return response.json() if response.status_code == 200 else None
    except ValueError:
        return None
