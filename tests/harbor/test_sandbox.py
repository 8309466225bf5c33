"""What a sandbox does for those who use it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from converters.harbor import sandbox as sandbox_module
from converters.harbor.command import SandboxError, SandboxTimeout
from converters.harbor.limits import Limits
from converters.harbor.pipes import Capped
from converters.harbor.sandbox import Sandbox, usable
from tests.harbor.boxes import Box, box

UNPRIVILEGED = Path(__file__).parent / "unprivileged.py"


@pytest.fixture(scope="module")
def shared() -> Iterator[Box]:
    with box() as started:
        yield started


def test_a_command_has_its_exit_code_and_its_streams(shared: Box) -> None:
    """A line for sh gives its code, stdout and stderr."""
    done = shared.run("echo out; echo err >&2; exit 7")
    assert (done.code, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["no-such-program"], 127, b"no-such-program"),
        (["/etc/passwd"], 126, b"Permission denied"),
        (["sh", "-c", "kill -TERM $$"], 143, b""),
    ],
)
def test_a_command_that_cannot_run_or_is_killed_has_the_code_of_shells(
    shared: Box, argv: list[str], code: int, said: bytes
) -> None:
    """127 for no such program, 126 for one that may not be executed, 128 and the number of a signal."""
    done = shared.run(argv)
    assert done.code == code
    assert said in done.stderr


def test_a_directory_that_is_not_there_is_named(shared: Box) -> None:
    """The working directory is where the command starts, or the error says which one is missing."""
    assert shared.out("pwd", cwd="/var/tmp") == "/var/tmp"
    done = shared.run("pwd", cwd="/nowhere")
    assert done.code == 126
    assert b"/nowhere" in done.stderr


def test_the_environment_is_what_is_given(shared: Box) -> None:
    """Nothing but the given variables, PATH and HOME."""
    names = {line.partition("=")[0] for line in shared.out(["env"], env={"COLOUR": "a b\nc"}).splitlines()}
    assert names == {"COLOUR", "PATH", "HOME", "c"}
    assert shared.out('echo "$COLOUR"', env={"COLOUR": "a b"}) == "a b"


def test_stdin_is_given_and_otherwise_empty(shared: Box) -> None:
    """Bytes go in and come back; without any there is an end of file at once, and a command that does not read ends."""
    data = os.urandom(300_000)
    assert shared.run(["cat"], stdin=data).stdout == data
    assert shared.run(["cat"]).stdout == b""
    assert shared.run(["true"], stdin=data).code == 0


def test_output_that_is_no_text_comes_as_it_is(shared: Box) -> None:
    """Bytes that are not UTF-8 are not touched."""
    assert shared.run(["printf", r"\377\000\376"]).stdout == b"\xff\x00\xfe"


def test_users_are_those_of_the_sandbox(shared: Box) -> None:
    """Names, numbers and groups by its own /etc/passwd; with home, and with the owner's right to /dev/stdout."""
    shared.out("id painter || useradd --create-home --groups users painter")
    assert shared.out("id -un; id -Gn; echo $HOME", user="painter").split() == [
        "painter",
        "painter",
        "users",
        "/home/painter",
    ]
    assert shared.out("id -u; id -g", user="1234:77").split() == ["1234", "77"]
    assert shared.out("id -u", user=4321) == "4321"
    assert shared.out("echo said > /dev/stdout", user="painter") == "said"
    done = shared.run("true", user="nosuch")
    assert done.code == 126
    assert b"nosuch: no such user" in done.stderr


def test_root_may_change_what_is_in_usr_and_others_may_not(shared: Box) -> None:
    """/usr is the sandbox's own copy, in which tools install."""
    assert shared.sandbox.usr_writable
    shared.out("echo '#!/bin/sh\necho mine' > /usr/bin/mine && chmod +x /usr/bin/mine")
    assert shared.out(["mine"], user="nobody") == "mine"
    assert shared.run("touch /usr/bin/other", user="nobody").code != 0
    assert not Path("/usr/bin/mine").exists()


def test_what_runs_in_the_background_goes_on(shared: Box) -> None:
    """A server that a command leaves behind answers the next ones, and may still write to the streams it has."""
    serve = "cd /var/tmp && echo here > page && python3 -m http.server 8123 & until curl -s localhost:8123; do :; done"
    shared.out(serve)
    for _ in range(3):
        assert shared.out(["curl", "-s", "localhost:8123/page"]) == "here"


def test_a_command_that_takes_too_long_is_killed_with_its_session(shared: Box) -> None:
    """The error names the time and the command, and nothing of it is left, in whichever process group."""
    with pytest.raises(SandboxTimeout, match=r"no end after 0.5 s.*sleep 611"):
        shared.run(["bash", "-c", "set -m; sleep 611 & sleep 612 & wait"], timeout=0.5)
    assert shared.run(["pgrep", "-f", "sleep 61[12]"]).stdout == b""


def test_a_cancelled_command_is_killed(shared: Box) -> None:
    """Whoever stops waiting leaves no process behind."""

    async def cancel() -> None:
        seen = asyncio.Event()
        run = shared.sandbox.run("echo on; sleep 613", sinks=(lambda _: seen.set(), None))
        task = asyncio.create_task(run)
        await seen.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    shared.runner.run(cancel())
    while shared.run(["pgrep", "-f", "sleep 613"]).stdout:  # it is killed, and the kernel takes its time
        pass


def test_a_sink_that_fails_ends_the_command(shared: Box) -> None:
    """Its error is the caller's."""

    def refuse(_: bytes) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        shared.run(["yes"], sinks=(refuse, None))


def test_long_output_has_its_middle_cut_out(shared: Box) -> None:
    """The first and the last bytes are kept, and how many are missing is said."""
    done = shared.run(["seq", "100000"], output_limit=100)
    assert done.stdout.startswith(b"1\n2\n3\n")
    assert done.stdout.endswith(b"99999\n100000\n")
    assert done.cut_stdout == 588895 - 100
    assert b"[... 588795 bytes cut out ...]" in done.stdout
    assert done.cut_stderr == 0


@pytest.mark.parametrize("sizes", [[3], [10], [11], [4, 4, 4, 4], [200_000], [1] * 25])
def test_cutting_keeps_the_ends_exactly(sizes: list[int]) -> None:
    """Of N bytes that come in pieces, the first and last half of the limit are there."""
    data = bytes(n % 251 for n in range(sum(sizes)))
    capped, at = Capped(10), 0
    for size in sizes:
        capped.feed(data[at : at + size])
        at += size
    value = capped.value()
    assert capped.cut == max(0, len(data) - 10)
    assert value == data if len(data) <= 10 else value.startswith(data[:5]) and value.endswith(data[-5:])


def test_files_go_in_and_come_out(shared: Box, tmp_path: Path) -> None:
    """A directory with links, modes and odd names, and a large file, are the same after the round trip."""
    source, back = tmp_path / "source", tmp_path / "back"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    (source / "-n\nodd").write_text("odd")
    (source / "deep" / "large").write_bytes(os.urandom(20 << 20))
    (source / "deep" / "er" / "link").symlink_to("../large")
    shared.put(source, "/srv/in")
    assert shared.out("stat -c '%U %a' /srv/in/run.sh") == "root 755"
    assert shared.get("/srv/in", back) == []
    assert subprocess.run(["diff", "-r", "--no-dereference", source, back]).returncode == 0
    assert os.access(back / "run.sh", os.X_OK)


def test_a_file_goes_to_a_name_and_comes_back_under_another(shared: Box, tmp_path: Path) -> None:
    """One file, with directories made for it on both sides; in the sandbox its name may be a link."""
    (tmp_path / "a").write_text("content")
    shared.put(tmp_path / "a", "/srv/one/b")
    shared.out("ln -sf /srv/one/b /srv/one/link")
    shared.get("/srv/one/link", tmp_path / "new" / "c")
    assert (tmp_path / "new" / "c").read_text() == "content"
    with pytest.raises(FileNotFoundError, match="/srv/one/none"):
        shared.get("/srv/one/none", tmp_path / "d")


def test_an_upload_that_cannot_be_done_says_where(shared: Box, tmp_path: Path) -> None:
    """The target is a file's child, or the source is not there."""
    (tmp_path / "a").write_text("content")
    with pytest.raises(SandboxError, match="upload to /etc/passwd/x"):
        shared.put(tmp_path / "a", "/etc/passwd/x/y")
    with pytest.raises(FileNotFoundError):
        shared.put(tmp_path / "none", "/srv/x")


def test_sixteen_sandboxes_at_once() -> None:
    """Each has its own processes, files and range of ids."""

    async def one(number: int) -> tuple[str, str]:
        sandbox = Sandbox(limits=Limits(storage_mb=16))
        await sandbox.start()
        try:
            await sandbox.run(f"echo {number} > /tmp/number; sleep 100 & :")
            done = await sandbox.run("cat /tmp/number; awk '{print $2}' /proc/self/uid_map")
            number_seen, base = done.stdout.decode().split()
            return number_seen, base
        finally:
            await sandbox.stop()

    async def all_of_them() -> list[tuple[str, str]]:
        return await asyncio.gather(*(one(number) for number in range(16)))

    seen = asyncio.run(all_of_them())
    assert [int(number) for number, _ in seen] == list(range(16))
    assert len({base for _, base in seen}) == 16


def test_what_enforces_the_limits_is_told() -> None:
    """Every limit has its mechanism, or the reason for none."""
    with box(limits=Limits(memory_mb=512, storage_mb=64, cpus=0.5, pids=100)) as started:
        assert set(started.sandbox.limits) == {"memory", "pids", "cpus", "storage"}
        assert started.sandbox.limits["storage"] == "tmpfs: 64 MB"
        assert "100" in started.sandbox.limits["pids"]
        assert started.out("df --output=size -m / | tail -1") == "64"


def test_a_root_file_system_can_be_named(tmp_path: Path) -> None:
    """`rootfs` is what the sandbox sees, and is not written to."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc" / "mark").write_text("mine")
    for library in ("sh", "cat", "touch"):
        _with_libraries(f"/bin/{library}", root)
    before = sorted(root.rglob("*"))
    with box(rootfs=root) as started:
        assert started.out("cat /etc/mark; touch /new") == "mine"
    assert [path for path in sorted(root.rglob("*")) if path not in before] == []


def _with_libraries(program: str, root: Path) -> None:
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for path in [program, *(word for word in said.split() if word.startswith("/"))]:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(path).read_bytes())
        target.chmod(0o755)


def test_a_sandbox_that_is_not_started_or_has_ended_says_so() -> None:
    """Its commands have an error, no hang."""
    with box() as started:
        started.runner.run(started.sandbox.stop())
        with pytest.raises(SandboxError, match="not running; start it first"):
            started.run("true")


def test_start_says_what_the_kernel_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A root file system that is none fails at its mount, by name, and nothing is left."""
    with pytest.raises(SandboxError, match="cannot be started"), box(rootfs=Path("/etc/passwd")):
        pass


def test_the_public_network_without_its_program_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never the host's network instead."""
    monkeypatch.setattr(sandbox_module.shutil, "which", lambda _: None)
    with (
        pytest.raises(SandboxError, match="needs slirp4netns, and it is not installed; install it"),
        box(network="public"),
    ):
        pass


def test_usable_tells_none_here() -> None:
    """The probe starts a sandbox, whether or not the caller has an event loop."""

    async def within() -> str | None:
        return usable()

    usable.cache_clear()
    assert asyncio.run(within()) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kernel/apparmor_restrict_unprivileged_userns": "1"}, "AppArmor restricts user namespaces"),
        ({"kernel/unprivileged_userns_clone": "0"}, "unprivileged_userns_clone=1"),
        ({"user/max_user_namespaces": "0"}, "max_user_namespaces=10000"),
        ({}, "Docker"),
    ],
)
def test_usable_names_the_way_out(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str) -> None:
    """What the kernel refuses is told with the setting that lets it."""
    monkeypatch.setattr(sandbox_module, "_sysctl", settings.get)
    monkeypatch.setattr(sandbox_module.os, "geteuid", lambda: 1000)

    async def refuse() -> None:
        raise SandboxError(
            "the sandbox cannot be started: user namespace: Operation not permitted (EPERM)", "user namespace"
        )

    monkeypatch.setattr(sandbox_module, "_try", refuse)
    usable.cache_clear()
    told = usable() or ""
    usable.cache_clear()
    assert "user namespace: Operation not permitted" in told
    assert said in told


def test_an_unprivileged_user_has_a_sandbox_too() -> None:
    """One user, root; tools install into /usr/local; another user is refused with the reason."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, UNPRIVILEGED, root], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", "fine")


def test_importing_the_package_imports_no_harbor() -> None:
    """`converters.harbor` is light, and has the class that harbor is given."""
    code = "import converters.harbor, converters.harbor.build, sys; print('harbor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
