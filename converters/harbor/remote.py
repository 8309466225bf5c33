"""Any OpenEnv server as a source, played over its `/ws`: it gets the doors of ours, and nothing of its own is lost.

`python -m converters.harbor.remote` serves the one at OPENENV_URL, with the bearer token OPENENV_TOKEN, on loopback,
until a signal comes; clients of this server need the token INTEROP_TOKEN. Its first line says `{"url": ...}`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from interop.client import ClientOptions, Session
from interop.client._common import http_url
from interop.environment import Description, Environment, Source, StepResult
from interop.errors import ConnectError, EnvironmentLost, InvalidAction, ProtocolError, SessionError, ValidationError
from interop.server import Server, Settings

TIMEOUT = 600.0
"""Seconds for an answer, the default `step_timeout` of a server."""
FOREVER = 1e9
"""Seconds of silence that end no session: an agent may think for hours."""


@dataclass(frozen=True)
class RemoteSource(Source):
    """The environments of an OpenEnv server.

    Attributes:
        url: Its address.
        token: Its bearer token, if it asks for one.
    """

    url: str
    token: str | None = None

    def describe(self) -> Description:
        about, schemas = self._document("metadata"), self._document("schema")
        if not isinstance(schemas.get("action"), dict):
            raise ProtocolError(f"{self.url}/schema has no schema of an action; is it an OpenEnv server?")
        name = str(about.get("name") or "environment")
        return Description(
            name=name,
            description=str(about.get("description") or name),
            version=str(about.get("version") or "1.0.0"),
            action=schemas["action"],
            observation=schemas.get("observation") or {},
            state=schemas.get("state") or {},
        )

    def create(self) -> Environment:
        options = ClientOptions(binary=False, headers=self._headers(), timeout=TIMEOUT)
        return _RemoteEnvironment(Session(http_url(self.url), options))

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def _document(self, name: str) -> dict[str, Any]:
        """What the server says of itself; empty where it does not."""
        address = f"{http_url(self.url)}/{name}"
        try:
            response = httpx.get(address, headers=self._headers(), timeout=TIMEOUT, trust_env=False)
            document = response.json() if response.status_code == 200 else {}
        except (httpx.HTTPError, ValueError) as exc:
            raise ConnectError(f"{address} is not readable: {exc}") from exc
        if response.status_code in (401, 403):
            raise ConnectError(f"{self.url} wants a bearer token; INTEROP_TOKEN is taken")
        return document if isinstance(document, dict) else {}


class _RemoteEnvironment(Environment):
    """One session there. Its errors are those of an environment here."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def reset(self, /, *, seed: int | None = None, episode_id: str | None = None, **options: Any) -> StepResult:
        given = {"seed": seed, "episode_id": episode_id}
        return self._ask("reset", {key: value for key, value in given.items() if value is not None} | options)

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        return self._ask("step", action)

    def state(self) -> Mapping[str, Any]:
        return self._session.state()

    def close(self) -> None:
        self._session.close()

    def _ask(self, kind: str, data: Mapping[str, Any]) -> StepResult:
        try:
            return self._session.reset(**data) if kind == "reset" else self._session.step(data)
        except ValidationError as exc:
            raise InvalidAction(str(exc), exc.errors) from exc
        except SessionError as exc:
            raise EnvironmentLost(str(exc)) from exc


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again when it has shut down
    source = RemoteSource(os.environ["OPENENV_URL"], os.environ.get("OPENENV_TOKEN") or None)
    server = Server(source, port=0, settings=Settings(token=os.environ["INTEROP_TOKEN"], idle_timeout=FOREVER))
    print(json.dumps({"url": server.url}), flush=True)
    server.run()


if __name__ == "__main__":
    main()
