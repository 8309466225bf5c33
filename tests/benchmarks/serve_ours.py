"""Our server as a process of its own: `python -m tests.benchmarks.serve_ours SOURCE PORT [isolation]`."""

from __future__ import annotations

import sys

import interop


def main() -> None:
    """Serve until SIGTERM."""
    source, port, *isolation = sys.argv[1:]
    interop.serve(source, port=int(port), isolation=isolation[0] if isolation else "thread").run()


if __name__ == "__main__":
    main()
