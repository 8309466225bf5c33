"""`python -m tests.gymnasium.broken [WORD]` prints which check sees which broken bridge; WORD picks some by name."""

from __future__ import annotations

import sys
import warnings

from tests.gymnasium.broken import BRIDGES, HEALTHY
from tests.gymnasium.broken.bridge import judge


def main() -> None:
    """Print the kill table as Markdown."""
    warnings.simplefilter("ignore")
    word = " ".join(sys.argv[1:])
    print("| bridge | what is broken | seen by |\n|---|---|---|")
    alive = 0
    for bridge in (*HEALTHY, *BRIDGES):
        if word in bridge.name:
            failures = judge(bridge)
            missing = set(bridge.killed_by) - failures.keys()
            alive += bool(missing) or (not bridge.killed_by and bool(failures))
            seen = ", ".join(sorted(failures)) or "-"
            print(f"| {bridge.name} | {bridge.breaks} | {seen} |", f"NOT {missing}" if missing else "", flush=True)
            if not bridge.killed_by or word:
                for name, why in failures.items():
                    print("   ", name, why[:400])
    print(f"\n{len(BRIDGES)} broken bridges, {alive} not as they should be")


main()
