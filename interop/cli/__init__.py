"""The command line, one file per command: `interop serve`, `info`, `play`, `bench`, `mcp`, `certify`, `requirements`.

Exit codes: 0 done; 1 something is wrong with the environment or its server; 2 a bad argument, an unknown source, or
nothing listens there; 3 a bug of this program.
"""

from interop.cli.app import main

__all__ = ["main"]
