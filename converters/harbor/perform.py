"""One action in a sandbox of harbor's, by nothing but `exec`: so as the agent's user, and in the sandbox alone."""

from __future__ import annotations

import base64
import binascii
import codecs
from collections.abc import Mapping
from shlex import quote
from typing import Any

from harbor.environments.base import BaseEnvironment, ExecResult

from converters.harbor.actions import Exec, ReadFile, Submit, WriteFile

MOST = 65_536
"""Characters of each stream that a policy is shown; the middle of what is longer is left out."""
CHUNK = 90_000
"""Bytes of a file that one command writes: Linux takes 128 KiB for one argument, and base64 makes four of three."""
READ = 600_000
"""Bytes of a file that one command reads: base64 of them is less than what our own sandbox keeps of output."""
ENDLESS = 16_777_216
"""Characters of output that end a command, where a sandbox streams it; ours cut its middle out instead."""
LINE = 100
"""What a line costs beside its characters: harbor keeps and streams each on its own."""
FILE_TIMEOUT = 60
"""Seconds for each command of a file."""


class Executed(ExecResult):
    """What harbor is told of a command by the sandboxes here that keep a part of endless output alone."""

    left_out: int = 0
    """Bytes that both streams lack."""


async def perform(environment: BaseEnvironment, action: Exec | ReadFile | WriteFile | Submit) -> Mapping[str, Any]:
    """Perform an action other than `submit`: fields of the observation. What fails in the sandbox is one too."""
    try:
        match action:
            case Exec():
                return await _exec(environment, action)
            case ReadFile():
                return await _read(environment, action)
            case WriteFile():
                return await _write(environment, action)
            case Submit():
                raise AssertionError("a submit is the agent's end")
    except (RuntimeError, OSError) as exc:  # what harbor's sandboxes raise for commands that they cannot run
        return {"exit_code": 124 if "timed out" in str(exc) else None, "error": str(exc) or type(exc).__name__}


async def _exec(environment: BaseEnvironment, action: Exec) -> Mapping[str, Any]:
    seen = 0

    async def count(text: str, stream: str) -> None:
        nonlocal seen
        seen += len(text) + LINE
        if seen > ENDLESS:
            raise RuntimeError("the command has written more than is kept, and was ended; let it write into a file")

    with environment.scoped_output_callback(count):
        done = await environment.exec(action.command, cwd=action.cwd, timeout_sec=action.timeout)
    output, cut = _clip(done.stdout)
    stderr, cut_too = _clip(done.stderr)
    left_out = done.left_out if isinstance(done, Executed) else 0
    return {"output": output, "stderr": stderr, "exit_code": done.return_code, "cut": cut + cut_too + left_out}


async def _read(environment: BaseEnvironment, action: ReadFile) -> Mapping[str, Any]:
    path, data, left = quote(action.path), bytearray(), 1
    is_file = (
        f"[ -f {path} ] || {{ [ -e {path} ] && echo 'it is no file' || echo 'there is no such file'; exit 1; }} >&2"
    )
    while left > 0 and len(data) < action.limit:
        start, most = action.offset + len(data), min(READ, action.limit - len(data))
        part = f"tail -c +{start + 1} -- {path} | head -c {most} | base64"
        done = await environment.exec(f"{is_file}; wc -c < {path} && {part}", timeout_sec=FILE_TIMEOUT)
        if done.return_code:
            return _failed(action.path, done)
        size, _, encoded = (done.stdout or "").strip().partition("\n")
        data += (read := base64.b64decode(encoded))
        left = int(size) - action.offset - len(data) if read else 0
    output, encoding, length = _text(bytes(data))
    return {"output": output, "encoding": encoding, "exit_code": 0, "cut": max(0, left) + len(data) - length}


async def _write(environment: BaseEnvironment, action: WriteFile) -> Mapping[str, Any]:
    try:
        data = (
            base64.b64decode(action.content, validate=True) if action.encoding == "base64" else action.content.encode()
        )
    except (binascii.Error, UnicodeEncodeError) as exc:
        return {"error": f"content is no {action.encoding}: {exc}"}
    path = quote(action.path)
    for start in range(0, max(len(data), 1), CHUNK):
        chunk = base64.b64encode(data[start : start + CHUNK]).decode()
        makes, to = ("", ">>") if start else (f'mkdir -p -- "$(dirname -- {path})" && ', ">")
        done = await environment.exec(f"{makes}printf %s {chunk} | base64 -d {to} {path}", timeout_sec=FILE_TIMEOUT)
        if done.return_code:
            return _failed(action.path, done)
    return {"exit_code": 0}


def _failed(path: str, done: ExecResult) -> Mapping[str, Any]:
    why, _ = _clip(((done.stderr or "") + (done.stdout or "")).strip())
    return {"exit_code": done.return_code, "error": f"{path}: {why or f'exit code {done.return_code}'}"}


def _text(data: bytes) -> tuple[str, str, int]:
    """The content, how it is encoded, and how many bytes of it there are: half a character at the end is left out."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64", len(data)
    length = len(text.encode())
    if data and not length:  # it is nothing but half a character
        return base64.b64encode(data).decode(), "base64", len(data)
    return text, "utf-8", length


def _clip(text: str | None) -> tuple[str, int]:
    """A text that is not too long, and how many characters are left out of it."""
    text = text or ""
    cut = len(text) - MOST
    if cut <= 0:
        return text, 0
    half = MOST // 2
    return f"{text[:half]}\n[{cut} characters are left out here]\n{text[-half:]}", cut
