"""Runs beside a process that started containers, and removes those that it left when it has ended, however it did."""

from __future__ import annotations

import os
import sys
import time

INTERVAL = 1.0
"""Seconds between two looks at the process."""
_LOOKS = 5
"""So often it is looked for containers: one that was under way comes late."""


def main() -> None:
    """`python -m interop.packaging.reaper PID OWNER`, started by PID."""
    parent, mine = int(sys.argv[1]), sys.argv[2]
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    # Only now: what waits for hours shall be small.
    from interop.packaging.containers import sweep

    for _ in range(_LOOKS):
        sweep(mine)
        time.sleep(INTERVAL)


if __name__ == "__main__":
    main()
