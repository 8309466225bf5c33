"""What commands of a sandbox try against the host, the hub, and other sandboxes; each attack ends in bounded time."""

import asyncio
import ctypes
import json
import os
import platform
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from converters.harbor import sandbox_root
from converters.harbor.command import SandboxError, SandboxTimeout
from converters.harbor.limits import Limits
from converters.harbor.sandbox import Sandbox
from tests.harbor.boxes import Box, box

LINKS = {"bin", "lib", "lib32", "lib64", "libx32", "sbin"}
HUB = Path(__file__).parent / "killed_hub.py"


@pytest.fixture(scope="module")
def shared() -> Iterator[Box]:
    os.environ["HUB_SECRET"] = "hub-secret-77"
    try:
        with box() as started:
            yield started
    finally:
        del os.environ["HUB_SECRET"]


@pytest.fixture(scope="module")
def other() -> Iterator[Box]:
    with box() as started:
        yield started


# The host's files, processes and kernel


def test_the_hosts_files_are_not_there(shared: Box) -> None:
    """Of the host there is /usr and a list of names of /etc; no account, no home, no mount."""
    mark = Path("/root/.sandbox-mark")
    mark.write_text("host")
    try:
        found = shared.run("find / -xdev -name .sandbox-mark 2>/dev/null").stdout
    finally:
        mark.unlink()
    assert found == b""
    host = {line.split(":")[1] for line in Path("/etc/shadow").read_text().splitlines()}
    assert {line.split(":")[1] for line in shared.out(["cat", "/etc/shadow"]).splitlines()} == {"*"} != host
    assert shared.run(["ls", *(f"{root}{__file__}" for root in ("", "/proc/1/root", "/proc/1/cwd"))]).stdout == b""
    top = set(shared.out(["ls", "-A", "/"]).split())
    assert top <= {*sandbox_root.DIRECTORIES.split(), *LINKS, "dev", "proc", "sys", "usr", "var"}


def test_no_process_but_its_own_is_seen(shared: Box) -> None:
    """Neither in /proc nor by number; the hub's command line and environment are nowhere."""
    commands = shared.out("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'")
    assert "pytest" not in commands
    assert str(Path(__file__).parents[2]) not in commands
    assert "hub-secret-77" not in shared.run("cat /proc/[0-9]*/environ; env").stdout.decode()
    assert shared.run(f"kill -0 {os.getpid()}").code != 0


def test_the_first_process_cannot_be_read_traced_or_killed(shared: Box) -> None:
    """PID 1 is the hub's: its memory, files and program are closed to root in there, and signals do not reach it."""
    for path in ("environ", "mem", "maps", "fd/0", "exe", "auxv"):
        assert shared.run(["cat", f"/proc/1/{path}"]).stdout == b"", path
    for path in ("fd", "root/", "cwd/", "map_files"):
        assert shared.run(["ls", "-A", f"/proc/1/{path}"]).stdout == b"", path
    trace = "import ctypes; print(ctypes.CDLL(None).ptrace(16, 1, 0, 0))"  # PTRACE_ATTACH
    assert shared.out(["/usr/bin/python3", "-c", trace]) == "-1"
    for number in ("KILL", "STOP", "INT", "TERM", "CHLD", "SEGV", "PIPE"):
        shared.run(f"kill -{number} 1; :")
    shared.run(["sh", "-c", "kill -KILL -1"])
    assert shared.out("echo alive") == "alive"


@pytest.mark.parametrize(
    "command",
    [
        "mknod /tmp/disk b 8 0",
        "mknod /tmp/mem c 1 1",
        "mount -t ext4 /dev/vda /mnt",
        "mount -t tmpfs none /mnt",
        "mount -t proc none /mnt",
        "umount /proc",
        "echo 1 > /proc/sys/kernel/panic",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo b > /proc/sysrq-trigger",
        "echo 1 > /proc/sys/vm/drop_caches",
        "hostname other",
        "date -s 2001-01-01",
        "chroot /proc/1/root true",
        "nsenter -t 1 -m true",
        "nsenter -t 1 -n true",
        "dmesg | grep .",
        "cat /proc/kcore | head -c 1 | grep .",
        "insmod /nowhere",
        "cat /dev/mem /dev/vda /dev/kmsg",
    ],
)
def test_the_kernel_refuses_root_in_a_sandbox(shared: Box, command: str) -> None:
    """Devices, mounts, settings of the host and its namespaces."""
    assert shared.run(command).code != 0


def test_a_nested_user_namespace_brings_nothing_of_the_host(shared: Box) -> None:
    """All capabilities in namespaces of one's own open no device and no host setting."""
    inside = "mount -t proc none /proc && cat /proc/1/environ; mknod /tmp/n b 8 0; mount /dev/vda /mnt; ls /work"
    done = shared.run(["unshare", "-Urmpf", "sh", "-c", inside])
    assert done.code != 0
    assert b"hub-secret-77" not in done.stdout


def test_none_of_the_hubs_keys() -> None:
    """A key in the session keyring of the hub's process is not found from a sandbox."""
    add_key, keyctl = {"x86_64": (248, 250), "aarch64": (217, 219)}[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    key = libc.syscall(add_key, b"user", b"hub-key", b"secret", 6, ctypes.c_int(-3))  # into the session's keyring
    search = f"libc.syscall({keyctl}, 10, ctypes.c_int(-3), b'user', b'hub-key', 0)"
    assert eval(search, {"libc": libc, "ctypes": ctypes}) > 0
    with box() as own:
        code = f"import ctypes; libc = ctypes.CDLL(None); print({search})"
        assert own.out(["/usr/bin/python3", "-c", code]) == "-1"
    libc.syscall(keyctl, 9, key, ctypes.c_int(-3))  # out of it
    assert eval(search, {"libc": libc, "ctypes": ctypes}) == -1


# The host's network


def test_the_hosts_loopback_is_not_reached(shared: Box) -> None:
    """Neither a TCP listener on 127.0.0.1 nor one in the abstract Unix namespace, nor any interface but lo."""
    name = f"\0sandbox-test-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(name)
        unix.listen()
        port = tcp.getsockname()[1]
        code = (
            "import socket\n"
            f"for family, address in ((socket.AF_INET, ('127.0.0.1', {port})), (socket.AF_UNIX, {name!r})):\n"
            "    try: socket.socket(family).connect(address); print('reached')\n"
            "    except OSError: print('refused')\n"
        )
        assert shared.out(["/usr/bin/python3", "-c", code]).split() == ["refused", "refused"]
    interfaces = shared.out("cat /proc/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_the_public_network_is_not_the_hosts() -> None:
    """With slirp4netns the sandbox has a way out and none to the host's loopback; without it, it does not start."""
    if shutil.which("slirp4netns") is None:
        with pytest.raises(SandboxError, match="install it"), box(network="public"):
            pass
        return
    with box(network="public") as out, socket.create_server(("127.0.0.1", 0)) as tcp:
        port = tcp.getsockname()[1]
        assert "tap0" in out.out(["cat", "/proc/net/dev"])
        assert "nameserver" in out.out(["cat", "/etc/resolv.conf"])
        for address in ("127.0.0.1", "10.0.2.2", "10.0.2.3"):
            assert out.run(["curl", "-s", "--max-time", "5", f"telnet://{address}:{port}"]).code in (7, 28), address
        tcp.settimeout(0)
        with pytest.raises(BlockingIOError):
            tcp.accept()


# Other sandboxes


def test_other_sandboxes_are_not_reached(shared: Box, other: Box) -> None:
    """Not their files, processes, shared memory, System V queues, or abstract sockets, and their ids are others."""
    other.out("echo theirs > /dev/shm/a; echo theirs > /tmp/a; ipcmk -Q; ipcmk -M 100; sleep 614 & :")
    listen = "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('\\0box'); s.listen(); time.sleep(60)"
    other.run(["sh", "-c", '/usr/bin/python3 -c "$0" & until grep -q @box /proc/net/unix; do :; done', listen])
    assert shared.run("cat /dev/shm/a /tmp/a").stdout == b""
    assert shared.run(["pgrep", "-f", "sleep 614"]).stdout == b""
    assert shared.run("ipcs -q -m | grep 0x").stdout == b""
    assert shared.run("grep @box /proc/net/unix").stdout == b""
    ranges = [each.out("awk '{print $2}' /proc/self/uid_map") for each in (shared, other)]
    assert ranges[0] != ranges[1]
    assert int(ranges[0]) >= 1 << 16


# Too much of something


def test_a_fork_bomb_ends_at_its_time(other: Box) -> None:
    """It is killed whole, and the sandbox goes on."""
    with box(limits=Limits(storage_mb=16, pids=200)) as small:
        with pytest.raises(SandboxTimeout):
            small.run(["bash", "-c", ":(){ :|:& };: ; sleep 60"], timeout=1)
        assert small.out("echo alive") == "alive"
        assert int(small.out("ps ax | wc -l")) < 10
        assert other.out("echo alive") == "alive"


def test_a_fork_bomb_of_daemons_holds_only_its_sandbox(other: Box) -> None:
    """Processes that have left the session take the sandbox's last place; that is said, and stop ends them."""
    bomb = (
        "import os, time\n"
        "if not os.fork():\n"
        "    os.setsid()\n"
        "    while True:\n"
        "        try:\n"
        "            if not os.fork(): time.sleep(600)\n"
        "        except OSError: time.sleep(0.001)\n"
    )
    mark = f"mark-{os.getpid()}-bomb"
    with box(limits=Limits(storage_mb=16, pids=60)) as small:
        small.run(["/usr/bin/python3", "-c", bomb, mark])
        with pytest.raises(SandboxError, match="cannot start a process, it has as many as it may have"):
            _until_it_fails(small)
        assert len(_marked(mark)) <= 60
        assert other.out("echo alive") == "alive"
    assert _marked(mark) == []


def test_a_memory_bomb_ends_itself() -> None:
    """Past the limit the kernel ends the process; PID 1 and the next command live."""
    with box(limits=Limits(storage_mb=32, memory_mb=64)) as small:
        assert small.sandbox.limits["memory"].startswith("cgroup")
        bomb = "x = []\nwhile True: x.append(bytearray(1 << 20))"
        assert small.run(["/usr/bin/python3", "-c", bomb]).code == 137
        assert small.out("echo alive") == "alive"


def test_a_full_disk_is_the_sandboxs_own(other: Box) -> None:
    """Files end at the limit, in /usr and /tmp together; removing them makes room."""
    with box(limits=Limits(storage_mb=32)) as small:
        done = small.run("head -c 100M /dev/zero > /tmp/big; head -c 100M /dev/zero > /usr/big")
        assert done.stderr.count(b"No space left on device") == 2
        small.out("rm /tmp/big /usr/big; echo room > /tmp/x")
        assert other.out("echo room > /tmp/x; cat /tmp/x") == "room"


def test_endless_output_costs_no_memory(shared: Box) -> None:
    """Of what `yes` says, only the limit is kept."""
    with pytest.raises(SandboxTimeout):
        shared.run("yes", timeout=1, output_limit=1000)
    seen = shared.run("yes | head -c 200000000", output_limit=1000)
    assert len(seen.stdout) < 1100
    assert seen.cut_stdout == 200_000_000 - 1000


def test_streams_left_open_are_bounded(shared: Box) -> None:
    """A hundred daemons with the streams of their commands cost the hub no more than so many files."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        shared.run("sleep 60 &")
    assert len(os.listdir("/proc/self/fd")) - before <= 64
    shared.run(["pkill", "sleep"])


# Files that lead elsewhere


def test_an_upload_through_a_link_stays_in_the_sandbox(shared: Box, tmp_path: Path) -> None:
    """A link of the sandbox leads to the sandbox's file, whatever the host has at that path."""
    victim = tmp_path / "victim"
    victim.write_text("host")
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "file").write_text("uploaded")
    shared.out(f"mkdir -p {tmp_path}; echo theirs > {victim}; ln -sfn {tmp_path} /srv/in; ln -sf {victim} /srv/name")
    shared.put(tmp_path / "up", "/srv/in")
    shared.put(tmp_path / "up" / "file", "/srv/name")
    assert victim.read_text() == "host"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["up", "victim"]


def test_a_download_takes_nothing_of_the_host_and_writes_nothing_outside(shared: Box, tmp_path: Path) -> None:
    """Links out, devices, pipes and odd names: what is not taken is told, and none of it blocks."""
    shared.out(
        "mkdir -p /d/sub && cd /d && echo fine > fine && ln fine hard && ln -s fine down && ln -s ../fine sub/up"
        " && ln -s /etc/shadow absolute && ln -s ../../../outside out && ln -s sub/.. turn && ln -s . here"
        " && mkfifo pipe && echo odd > './-rf' && echo odd > 'a\nb' && ln -s /root sub/home"
    )
    target = tmp_path / "in" / "side"
    left_out = "\n".join(shared.get("/d", target))
    for name in ("absolute", "out", "turn", "pipe", "sub/home"):
        assert name in left_out
        assert not os.path.lexists(target / name)
    for name in ("fine", "hard", "down", "sub/up"):
        assert (target / name).read_text() == "fine\n"
    assert (target / "-rf").read_text() == (target / "a\nb").read_text() == "odd\n"
    assert sorted(os.listdir(tmp_path)) == ["in"]
    assert os.listdir(tmp_path / "in") == ["side"]


def test_a_link_of_one_download_is_not_followed_by_the_next(shared: Box, tmp_path: Path) -> None:
    """A link becomes a directory, or a file: the file is written in its place, not where it led."""
    (tmp_path / "kept").mkdir()
    target = tmp_path / "kept" / "t"
    target.mkdir()
    (target / "swap").symlink_to(tmp_path / "kept")
    (target / "file").symlink_to(tmp_path / "kept" / "victim")
    shared.out("rm -rf /d; mkdir -p /d/swap && echo x > /d/swap/y && echo x > /d/file")
    assert shared.get("/d", target) == []
    assert sorted(os.listdir(tmp_path / "kept")) == ["t"]
    assert (target / "swap" / "y").read_text() == "x\n"
    assert not (target / "file").is_symlink()


def test_an_archive_forged_by_the_sandbox_leads_nowhere(tmp_path: Path) -> None:
    """Where the sandbox has put its own `tar`: names with .., absolute ones, links first and files through them."""
    forge = (
        "#!/usr/bin/python3\nimport io, sys, tarfile\n"
        "out = tarfile.open(fileobj=sys.stdout.buffer, mode='w|')\n"
        "def add(name, kind=tarfile.REGTYPE, link='', data=b'evil'):\n"
        "    info = tarfile.TarInfo(name); info.type = kind; info.linkname = link; info.mode = 0o6777\n"
        "    info.size = len(data) if kind == tarfile.REGTYPE else 0\n"
        "    out.addfile(info, io.BytesIO(data))\n"
        "add('../evil'); add('/tmp/evil-absolute'); add('a', tarfile.SYMTYPE, '..'); add('a/evil')\n"
        "add('b', tarfile.SYMTYPE, 'c'); add('c', tarfile.SYMTYPE, '.'); add('b/../../evil')\n"
        "add('h', tarfile.LNKTYPE, '/etc/shadow'); add('../link', tarfile.SYMTYPE, 'x')\n"
        "add('h2', tarfile.LNKTYPE, '../../etc/shadow'); add('dev', tarfile.BLKTYPE)\n"
        "add('x' * 300 + '/' + 'y' * 300); add('suid'); out.close()\n"
    )
    target = tmp_path / "deep" / "target"
    (tmp_path / "tar").write_text(forge)
    with box() as own:
        own.put(tmp_path / "tar", "/usr/local/bin/tar")
        own.out("chmod +x /usr/local/bin/tar")
        left_out = own.get("/etc", target)
    assert len(left_out) == 9
    assert not Path("/tmp/evil-absolute").exists()
    assert sorted(os.listdir(tmp_path)) == ["deep", "tar"]
    assert os.listdir(tmp_path / "deep") == ["target"]
    assert sorted(os.listdir(target)) == ["a", "b", "c", "suid"]
    assert (target / "a" / "evil").read_bytes() == b"evil"
    assert (target / "suid").stat().st_mode & 0o7777 == 0o755


def test_a_download_has_an_end(shared: Box, tmp_path: Path) -> None:
    """A file without end, or larger than the limit, is an error with that limit; a device or a pipe is refused."""
    shared.out("truncate -s 1T /tmp/sparse; mkfifo /tmp/fifo; :")
    with pytest.raises(SandboxError, match="/tmp/sparse failed: it is more than 1000000 bytes"):
        shared.get("/tmp/sparse", tmp_path / "a", limit=1_000_000)
    for name in ("/tmp/fifo", "/dev/zero"):
        with pytest.raises(SandboxError, match="neither a file"):
            shared.get(name, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


# The end


def _marked(mark: str) -> list[int]:
    """Processes of the host with that in their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{name}/cmdline").read_bytes() and int(name) != os.getpid():
                found.append(int(name))
        except OSError:
            continue
    return found


def _until_it_fails(own: Box) -> None:
    for _ in range(200):
        own.run("true")


DAEMONS = (
    "import os, sys, time\n"
    "for double in (False, True):\n"
    "    pid = os.fork()\n"
    "    if not pid:\n"
    "        os.setsid()\n"
    "        if double and os.fork(): os._exit(0)\n"
    "        time.sleep(600)\n"
    "    if double: os.waitpid(pid, 0)\n"
)


def test_stop_ends_what_has_left_every_session() -> None:
    """Daemons, of setsid and of two forks, end with the sandbox; its cgroups go too."""
    mark = f"mark-{os.getpid()}-stop"
    with box() as own:
        own.run(["/usr/bin/python3", "-c", DAEMONS, mark])
        assert len(_marked(mark)) == 2
    assert _marked(mark) == []


def test_a_killed_hub_leaves_nothing() -> None:
    """SIGKILL of the hub's process ends its sandboxes: no process, no mount, no cgroup."""
    mark = f"mark-{os.getpid()}-hub"
    arguments = [sys.executable, str(HUB), str(Path(__file__).parents[2]), DAEMONS, mark]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as hub:
        try:
            assert hub.stdout is not None
            told = json.loads(hub.stdout.readline())
            keeper = os.pidfd_open(told["keeper"])
            assert len(_marked(mark)) == 4  # with the hub
            assert all(os.path.isdir(path) for path in told["cgroups"])
        finally:
            hub.kill()
    assert select.select([keeper], [], [], 20)[0], "the keeper goes on"
    os.close(keeper)
    assert _marked(mark) == []
    assert [path for path in told["cgroups"] if os.path.exists(path)] == []
    assert "upperdir=/tmp/upper" not in Path("/proc/self/mountinfo").read_text()


def test_a_killed_keeper_ends_its_sandbox_and_the_next_one_cleans_up() -> None:
    """What the keeper would have removed is removed at the next start."""
    with box() as own:
        keeper = own.sandbox._keeper
        assert keeper is not None
        cgroups = json.loads(Path(f"/proc/{keeper.pid}/cmdline").read_bytes().split(b"\0")[-2])["cgroups"]
        os.kill(keeper.pid, signal.SIGKILL)
        with pytest.raises(SandboxError, match="the sandbox has ended"):
            _until_it_fails(own)
    assert cgroups
    deadline = time.monotonic() + 20
    while any(os.path.exists(path) for path in cgroups) and time.monotonic() < deadline:
        with box():
            pass
    assert [path for path in cgroups if os.path.exists(path)] == []


def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    """However early: no process and no cgroup."""

    async def cancel_after(turns: int) -> None:
        sandbox = Sandbox(limits=Limits(storage_mb=16), hostname="cancelled-start")
        task = asyncio.create_task(sandbox.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await sandbox.stop()

    for turns in (1, 3, 10, 50, 200):
        asyncio.run(cancel_after(turns))
    assert _marked("cancelled-start") == []
