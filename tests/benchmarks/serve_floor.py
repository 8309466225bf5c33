"""The floor: a websockets server that answers a message with as many raw bytes as it asks for, and nothing else."""

from __future__ import annotations

import sys
from functools import cache

from websockets.sync.server import ServerConnection, serve

from tests.benchmarks.frames import pixels


@cache
def reply(request: str | bytes) -> bytes:
    """The bytes for a number in ASCII, made once."""
    return pixels(size=int(request))


def main() -> None:
    """Serve on the port in the first argument until SIGTERM."""

    def answer(connection: ServerConnection) -> None:
        for request in connection:
            connection.send(reply(request))

    with serve(answer, "127.0.0.1", int(sys.argv[1]), compression=None) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
