"""`make certify-demo`: the example, with an official server beside ours and the broken ones."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
PEER = ROOT / ".venv/peers/openenv-0.10.0/bin/python"
PORT = 8177


def main() -> int:
    """Run it; returns the example's exit code."""
    folder = ROOT / "tests/interop_peers"
    command = [PEER, "official_servers.py", "probe", str(PORT)]
    # It prints a traceback for each request that it cannot serve.
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{PORT}"
        _wait(url)
        return subprocess.run([sys.executable, ROOT / "examples/certify_servers.py", url], check=False).returncode
    finally:
        server.terminate()
        server.wait()


def _wait(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
