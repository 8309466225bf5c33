"""Run by root: becomes nobody, and says `fine` where a sandbox is what it should be for that user.

The keeper is run by the system's Python, since nobody may not read every other.
"""

import asyncio
import os
import sys

sys.path.insert(0, sys.argv[1])

from converters.harbor.limits import Limits
from converters.harbor.sandbox import Sandbox


async def main() -> None:
    sandbox = Sandbox(limits=Limits(storage_mb=64, pids=300))
    await sandbox.start()
    assert not sandbox.usr_writable
    assert sandbox.limits["pids"].startswith("RLIMIT_NPROC: 300"), sandbox.limits
    done = await sandbox.run("id -u; touch /usr/local/bin/mine && ls /usr/local/bin/mine; cat /proc/self/uid_map")
    uid, path, *ids = done.stdout.decode().split()
    assert (uid, path, ids) == ("0", "/usr/local/bin/mine", ["0", "65534", "1"]), done
    done = await sandbox.run("true", user="daemon")
    assert b"one user, root" in done.stderr, done
    for command in ("cat /proc/1/environ", "ls /proc/1/fd", "readlink /proc/1/exe", f"ls /root/.bashrc {__file__}"):
        done = await sandbox.run(command)
        assert done.code != 0, (command, done)
    fork = (
        "for n in range(600):\n"
        "    try: pid = os.fork()\n"
        "    except OSError: break\n"
        "    if not pid: time.sleep(600)\n"
        "print(n)"
    )
    done = await sandbox.run(["/usr/bin/python3", "-c", f"import os, time\n{fork}"])
    assert 200 < int(done.stdout) < 300, done
    await sandbox.stop()


os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
os.environ.clear()
sys.executable = "/usr/bin/python3"
asyncio.run(main())
print("fine")
