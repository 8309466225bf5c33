"""The worker's program: `PYTHON main.py FD SPEC`, in an interpreter that has the environment and nothing of the hub.

It loads the environment in the main thread, says so, and answers lines of JSON until its socket ends, as
`interop.foreign` asks for.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from lane import Lane, Refused, Session

LINE = 1 << 30
"""Bytes of a message."""
OLDEST = (0, 1, 9)
"""The first release of verifiers that is played; before it environments have another API."""
V1 = (0, 3)
"""The first whose v1 API is played: earlier ones have another one of that name."""


def load(spec: Mapping[str, Any]) -> Lane:
    """The environment that a spec names: `module`, `arguments`."""
    name = str(spec["module"])
    release = _release(name)
    module = importlib.import_module(name.replace("-", "_"))
    # The constructors of environments replace the handlers of signals.
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if hasattr(module, "load_environment"):
            from v0 import V0Lane

            lane: Lane = V0Lane(name, module.load_environment(**spec["arguments"]))
        elif hasattr(module, "__all__"):  # of which verifiers takes the taskset
            if release < V1:
                found = version("verifiers")
                raise Refused(
                    f"{name} has no load_environment; its v1 API is played by verifiers 0.3.0 on, not {found}"
                )
            from v1 import V1Lane

            lane = V1Lane(name, spec["arguments"])
        else:
            raise Refused(f"{name} has no load_environment and no __all__; it is no verifiers environment")
        return lane
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _release(name: str) -> tuple[int, ...]:
    """The release of verifiers that is here. Raises `Refused` for none, and for one that is too old."""
    try:
        found = version("verifiers")
    except PackageNotFoundError:
        raise Refused(f"{name}: {sys.executable} has no verifiers") from None
    release = tuple(map(int, re.findall(r"\d+", found)[:3]))
    if release < OLDEST:
        raise Refused(
            f"{name}: verifiers {found} is not played; accepted are 0.1.9 and newer, such as --verifiers 0.1.9"
        )
    return release


async def serve(sock: socket.socket, lane: Lane) -> None:
    """Answer requests until the hub is gone."""
    reader, writer = await asyncio.open_connection(sock=sock, limit=LINE)
    try:
        await lane.start()
    except Exception as exc:
        traceback.print_exc()
        writer.write(_line({"failed": f"{type(exc).__name__}: {exc}"}))
        await writer.drain()
        return
    writer.write(_line({"ready": lane.about()}))
    sessions: dict[str, Session] = {}
    running: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        task = asyncio.create_task(_answer(lane, sessions, json.loads(line), writer))
        running.add(task)
        task.add_done_callback(running.discard)
    for task in running:
        task.cancel()
    await asyncio.gather(*(session.close() for session in sessions.values()), return_exceptions=True)
    await lane.stop()


async def _answer(
    lane: Lane, sessions: dict[str, Session], request: dict[str, Any], writer: asyncio.StreamWriter
) -> None:
    id, op = request.pop("id"), request.pop("op")
    try:
        answer = {"id": id, "result": await _do(lane, sessions, op, request)}
        line = _line(answer)
    except Refused as exc:
        line = _line({"id": id, "refused": str(exc)})
    except Exception as exc:
        traceback.print_exc()
        line = _line({"id": id, "failed": f"{type(exc).__name__}: {exc}"})
    writer.write(line)
    await writer.drain()


async def _do(lane: Lane, sessions: dict[str, Session], op: str, arguments: dict[str, Any]) -> Any:
    if op == "tasks":
        return lane.tasks(**arguments)
    name = arguments.pop("session")
    if op == "close":
        session = sessions.pop(name, None)
        if session is not None:
            await session.close()
        return None
    if name not in sessions:
        sessions[name] = lane.session()
    if op == "reset":
        return await sessions[name].reset(**arguments)
    return await sessions[name].step(**arguments)


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _watch(parent: int) -> None:
    """End with the hub, whatever the main thread does."""
    while os.getppid() == parent:
        time.sleep(1)
    time.sleep(3)  # the socket's end lets sessions close first
    os._exit(1)


def main() -> None:
    """Load, then serve."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    try:
        lane = load(json.loads(sys.argv[2]))
    except BaseException as exc:
        if not isinstance(exc, Refused):
            traceback.print_exc()
        sock.sendall(_line({"failed": str(exc) if isinstance(exc, Refused) else f"{type(exc).__name__}: {exc}"}))
        sys.exit(1)
    asyncio.run(serve(sock, lane))
    os._exit(0)  # threads of the environment's do not keep it


if __name__ == "__main__":
    main()
