"""One session: an environment, and the replies to the messages of its client."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pydantic

from interop.environment import Environment, Source, StepResult
from interop.errors import CannotCarry, InvalidAction
from interop.protocol import jsonrpc
from interop.protocol.codecs import Codec
from interop.protocol.frames import ErrorCode, FrameError, Request, error, invalid
from interop.protocol.session import ServerSession


class Session:
    """Runs in one thread from `open` to `close`, unless its environment may be called from any."""

    def __init__(self, source: Source | None, codec: Codec) -> None:
        self.id = str(uuid.uuid4())
        self.protocol = ServerSession(codec)
        self._source = source
        self._native = codec.native
        self._environment: Environment | None = None

    def open(self) -> bytes | None:
        """Build the environment; the message that refuses the session if that fails."""
        assert self._source is not None
        try:
            self._environment = self._source.create()
        except Exception:
            description = self._source.describe()
            name = description.factory_name or description.name
            return self.protocol.refuse(
                ErrorCode.FACTORY_ERROR,
                f"Environment factory '{name}' failed to create instance.",
                factory_name=name,
            )
        return None

    @property
    def any_thread(self) -> bool:
        """Whether the environment may be called from any thread."""
        return self._environment is not None and self._environment.any_thread

    def close(self) -> None:
        """Release the environment."""
        environment, self._environment = self._environment, None
        if environment is not None:
            environment.close()

    def handle(self, payload: bytes, *, text: bool) -> bytes | None:
        """The reply to a message; None after `close`."""
        protocol = self.protocol
        try:
            request = protocol.receive(payload, text=text)
            if request.kind == "close":
                return None
            return self._answer(request)
        except FrameError as exc:
            return protocol.reply(exc.frame())
        except pydantic.ValidationError as exc:
            return protocol.reply(invalid(exc).frame())
        except InvalidAction as exc:
            return protocol.reply(error(ErrorCode.VALIDATION_ERROR, "Invalid message", errors=exc.errors))
        except Exception as exc:
            return protocol.reply(error(ErrorCode.EXECUTION_ERROR, text_of(exc)))

    def _answer(self, request: Request) -> bytes:
        environment = self._environment
        assert environment is not None
        match request.kind:
            case "step":
                action = request.data if self._native else environment.native_action(request.data)
                return self._result(environment, environment.step(action))
            case "reset":
                options = request.data if self._native else environment.native_options(request.data)
                return self._result(environment, environment.reset(**options))
            case "state":
                state: Any = environment.state()
                if not self._native:
                    state = environment.plain_state(state)
                return self.protocol.reply({"type": "state", "data": state})
            case "vector":
                return self.protocol.reply({"type": "vector", "data": _vector(environment, request.data)})
        response = jsonrpc.answer(request.data, session_id=self.id)
        return self.protocol.reply({"type": "mcp", "data": response})

    def _result(self, environment: Environment, result: StepResult) -> bytes:
        try:
            return self.protocol.result(result if self._native else environment.plain(result))
        except CannotCarry as exc:
            raise RuntimeError(f"The environment advanced, but its answer is lost: {exc}") from exc


def text_of(exc: BaseException) -> str:
    """The text of an exception, whose own code may fail to give one."""
    try:
        return str(exc)
    except Exception:
        return f"{type(exc).__name__} (an exception without a text)"


def _vector(environment: Environment, data: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return environment.vector(data)
    except NotImplementedError:
        raise FrameError(ErrorCode.VALIDATION_ERROR, "Invalid message: this environment has no vector form") from None
