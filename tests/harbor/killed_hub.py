"""A hub with a sandbox, a command and daemons in it: tells of them, then waits to be killed."""

import asyncio
import json
import sys
from pathlib import Path

root, daemons, mark = sys.argv[1:]
sys.path.insert(0, root)

from converters.harbor.limits import Limits  # noqa: E402
from converters.harbor.sandbox import Sandbox  # noqa: E402


async def main() -> None:
    sandbox = Sandbox(limits=Limits(storage_mb=32))
    await sandbox.start()
    await sandbox.run(["/usr/bin/python3", "-c", daemons, mark])
    keeper = sandbox._keeper
    assert keeper is not None
    config = json.loads(Path(f"/proc/{keeper.pid}/cmdline").read_bytes().split(b"\0")[-2])

    def tell(_: bytes) -> None:
        print(json.dumps({"keeper": keeper.pid, "cgroups": config["cgroups"]}), flush=True)

    await sandbox.run(
        ["/usr/bin/python3", "-c", "import time; print(1, flush=True); time.sleep(600)", mark], sinks=(tell, None)
    )


asyncio.run(main())
