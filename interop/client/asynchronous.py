"""The asyncio client: websockets' connection around the same session machine as the blocking client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from interop.client import _common
from interop.client._common import ClientOptions
from interop.environment import StepResult
from interop.errors import ConnectError, ProtocolError, SessionError, SessionLost, SessionTimeout
from interop.protocol.codecs import codec
from interop.protocol.frames import Kind
from interop.protocol.session import ClientSession


class AsyncSession:
    """One session with an OpenEnv server, for asyncio code. As `Session`; build it with `await AsyncSession.open(url)`.

    Calls of one session run one after the other. A call that is cancelled ends the session, because its reply would be
    taken for the next one's.
    """

    def __init__(self, url: str, options: ClientOptions, connection: ClientConnection) -> None:
        self.url = url
        self._options = options
        self._connection = connection
        self._session = ClientSession(codec(connection.subprotocol))
        self._text = not self._session.codec.native
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, url: str, options: ClientOptions | None = None) -> Self:
        """Connect. Raises `ConnectError`."""
        options = options or ClientOptions()
        base = _common.http_url(url)
        uri = _common.websocket_uri(url)
        try:
            connection = await connect(
                "ws" + base.removeprefix("http") + "/ws",
                subprotocols=[Subprotocol(name) for name in options.subprotocols or ()] or None,
                additional_headers=dict(options.headers),
                compression="deflate" if options.compression else None,
                max_size=options.max_message_size,
                open_timeout=options.connect_timeout,
                proxy=None if uri.host in ("localhost", "127.0.0.1", "::1") else True,
                ssl=_common.tls_context(uri, options),
            )
        except (OSError, TimeoutError, WebSocketException) as exc:
            raise ConnectError(f"no session at {base}: {exc or type(exc).__name__}") from exc
        return cls(base, options, connection)

    @property
    def codec(self) -> str:
        """The codec agreed on: `json` or `interop.msgpack.v1`."""
        return self._session.codec.name

    async def reset(self, /, *, seed: int | None = None, episode_id: str | None = None, **options: Any) -> StepResult:
        """Start an episode; as `Session.reset`."""
        arguments = {"seed": seed, "episode_id": episode_id}
        data = {key: value for key, value in arguments.items() if value is not None} | options
        return _common.result(await self.request("reset", data))

    async def step(self, action: Mapping[str, Any], /) -> StepResult:
        """Advance the episode by one action; as `Session.step`."""
        return _common.result(await self.request("step", action))

    async def state(self) -> dict[str, Any]:
        """The session's state; as `Session.state`."""
        state = await self.request("state")
        assert isinstance(state, dict)
        return state

    async def request(self, kind: Kind, data: Mapping[str, Any] | None = None) -> Any:
        """Send one frame and return the `data` of its reply; as `Session.request`."""
        async with self._turn:
            message = self._session.send(kind, data)
            try:
                async with asyncio.timeout(self._options.timeout):
                    with contextlib.suppress(ConnectionClosed):  # a server that ends a session says why before (CLI-9)
                        await self._connection.send(message, text=self._text)
                    payload = await self._connection.recv(decode=False)
            except TimeoutError:
                await self._lose(SessionTimeout(f"no reply in {self._options.timeout:g} s; the session was dropped"))
            except ConnectionClosed as exc:
                await self._lose(exc)
            except asyncio.CancelledError:
                self._session.lose(SessionLost("a call was cancelled before its reply came; the session was dropped"))
                self._connection.transport.abort()
                raise
            return self._session.receive(payload, text=self._text)

    async def close(self) -> None:
        """End the session; the server closes its environment. May be called again."""
        with contextlib.suppress(SessionError, ProtocolError, ConnectionClosed):
            await self._connection.send(self._session.send("close"), text=self._text)
        await self._connection.close()

    async def _lose(self, cause: Exception) -> None:
        self._session.lose(cause)
        self._connection.transport.abort()
        self._session.check()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
