"""The floor: a websockets server that answers every message with the raw bytes of one frame, and does nothing else."""

from __future__ import annotations

import sys

from websockets.sync.server import ServerConnection, serve

from tests.benchmarks.frames import pixels


def main() -> None:
    """Serve on the port in the first argument until SIGTERM."""
    frame = pixels()

    def answer(connection: ServerConnection) -> None:
        for _ in connection:
            connection.send(frame)

    with serve(answer, "127.0.0.1", int(sys.argv[1]), compression=None) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
