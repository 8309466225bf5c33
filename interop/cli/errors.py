"""Exit codes, and what each exception is to the user: one line on stderr and a code."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer

from interop.cli import output
from interop.errors import ConnectError, InteropError, SourceError
from interop.suite import suite

TRACEBACK = "INTEROP_TRACEBACK"


class Code(IntEnum):
    """What the program exits with."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    INTERNAL = 3
    INTERRUPTED = 130
    TERMINATED = 143


class CommandError(Exception):
    """What a command gives up with: a text for the user and an exit code."""

    def __init__(self, message: str, code: int = Code.USAGE) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def suite_errors() -> Iterator[None]:
    """Errors of the conformance suite as those of a command; the last words of a server go to stderr before."""
    try:
        yield
    except suite().TargetError as exc:
        if exc.log:
            output.write_error_text(f"{exc.log}\n")
        code = Code.FINDINGS if isinstance(exc, suite().StartError) else Code.USAGE
        raise CommandError(exc.message, code) from exc
    except suite().ConformanceError as exc:
        raise CommandError(str(exc)) from exc


# typer keeps the bases of its exceptions to itself and moves them between releases; this one it exports.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def report(exc: Exception) -> int:
    """Say what went wrong on stderr, with a traceback where one is asked for; returns the exit code."""
    asked = os.environ.get(TRACEBACK, "0") not in ("", "0")
    if asked:
        output.write_error_text("".join(traceback.format_exception(exc)))
    message, code = _judge(exc)
    if code == Code.INTERNAL and not asked:
        message += "; add --traceback to see where"
    output.error(message)
    return code


def _judge(exc: Exception) -> tuple[str, int]:
    if isinstance(exc, CommandError):
        return str(exc), exc.code
    if isinstance(exc, (SourceError, ConnectError)):
        return str(exc), Code.USAGE
    if isinstance(exc, InteropError):
        return f"{_words(exc)}{exc}", Code.FINDINGS
    if isinstance(exc, _UsageError):
        context = getattr(exc, "ctx", None)
        path = context.command_path if context is not None else "interop"
        text = exc.format_message()  # type: ignore[attr-defined]
        return f"{text.rstrip('.')} (see {path} --help)", Code.USAGE
    return f"internal: {type(exc).__name__}: {exc}. This is a bug of interop {_version()}", Code.INTERNAL


def _words(exc: InteropError) -> str:
    """The code of an error frame, which the server's text may need to be understood."""
    code = getattr(exc, "code", "")
    return f"{code}: " if code and code not in str(exc) else ""


def _version() -> str:
    from interop import __version__

    return __version__
