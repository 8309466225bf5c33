"""What PID 1 of a sandbox does: it starts commands for the hub, reaps, and ends sessions. Stdlib only.

The hub sends the end of a socket for every command over the control socket. The command's own process reads the
request from it (4 bytes of length, then JSON), answers `F` with the pipes' file descriptors, and executes. PID 1
answers `X` and the wait status when it has ended. When the hub shuts its side down, the command's session is killed.

Nothing here opens a path of the sandbox before the fork, and nothing is imported after start: the files under every
name are the sandbox's.
"""

import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
CAPABILITIES = frozenset((0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31))
"""What a command's root may do in its namespaces: Docker's default set."""
PR_SET_DUMPABLE, PR_CAPBSET_DROP = 4, 24
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Refused(Exception):
    """A request that cannot be done, in words for who asked."""


def serve(control: socket.socket, *, several_ids: bool) -> None:
    """Never returns: the process, and with it the sandbox, ends when the hub's end of `control` is closed."""
    sys.path.clear()
    sys.meta_path.clear()
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # PID 1 gets no signal from inside that it has no handler for
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    processes = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(woken, select.POLLIN)
    running: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poller.poll():
            if fd == control.fileno():
                start(control, poller, running, several_ids)
            elif fd == woken:
                os.read(woken, 4096)
            else:
                poller.unregister(fd)
                for pid in [pid for pid, hub in running.items() if hub.fileno() == fd]:
                    end_session(pid, processes)
        reap(poller, running)


def start(control: socket.socket, poller: select.poll, running: dict[int, socket.socket], several_ids: bool) -> None:
    message, fds, _, _ = socket.recv_fds(control, 1, 1)
    if not message:
        os._exit(0)
    hub = socket.socket(fileno=fds[0])
    try:
        pid = os.fork()
    except OSError as exc:  # a fork bomb has the sandbox's processes
        hub.send(b"E" + str(exc).encode())
        hub.close()
        return
    if not pid:
        try:
            execute(hub, several_ids)
        finally:
            os._exit(126)
    running[pid] = hub
    poller.register(hub, select.POLLRDHUP)


def reap(poller: select.poll, running: dict[int, socket.socket]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        hub = running.pop(pid, None)
        if hub is None:
            continue
        try:
            poller.unregister(hub)
        except KeyError:
            pass  # its session was ended
        try:
            hub.send(b"X" + struct.pack("i", status), socket.MSG_DONTWAIT)
        except OSError:
            pass  # nobody waits for it
        hub.close()


def end_session(leader: int, processes: int) -> None:
    """Kill the leader's process group, which no fork escapes, then all that is left of its session.

    The leader has not been reaped, so no other process has its number.
    """
    for _ in range(50):
        try:
            os.killpg(leader, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has not called setsid() yet
        os.kill(leader, signal.SIGKILL)
        found = [int(name) for name in os.listdir(processes) if name.isdigit()]
        others = [pid for pid in found if lives_in(pid, leader, processes)]
        if not others:
            return
        for pid in others:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def lives_in(pid: int, session: int, processes: int) -> bool:
    try:
        fd = os.open(f"{pid}/stat", os.O_RDONLY, dir_fd=processes)
    except OSError:
        return False
    try:
        state, _, _, its_session = os.read(fd, 4096).rpartition(b")")[2].split()[:4]
    except (OSError, ValueError):
        return False
    finally:
        os.close(fd)
    return int(its_session) == session and state not in (b"Z", b"X") and pid != session


# In the command's process, between fork and exec


def execute(hub: socket.socket, several_ids: bool) -> None:
    os.setsid()
    request = receive(hub)
    uid, gid, groups, home, refused = 0, 0, [0], "/root", ""
    try:
        uid, gid, groups, home = account(str(request["user"]))
        if (uid or gid) and not several_ids:
            who = request["user"]
            raise Refused(f"user {who}: this sandbox has one user, root, since the hub does not run as root")
    except Refused as exc:
        refused = str(exc)
    pipes(hub, request["stdin"], (uid, gid) if several_ids else None)
    try:
        if refused:
            raise Refused(refused)
        become(uid, gid, groups if several_ids else None)
        command(request, home)
    except (Refused, OSError) as exc:
        os.write(2, f"sandbox: {exc}\n".encode(errors="surrogateescape"))
        os._exit(127 if isinstance(exc, FileNotFoundError) and exc.filename != request["cwd"] else 126)


def receive(hub: socket.socket) -> dict[str, Any]:
    data = bytearray()
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4]):
        chunk = hub.recv(1 << 16)
        if not chunk:
            os._exit(126)
        data += chunk
    request: dict[str, Any] = json.loads(data[4:])
    return request


def pipes(hub: socket.socket, wants_stdin: bool, owner: tuple[int, int] | None) -> None:
    """stdin, stdout and stderr are pipes made in here, so that /dev/stdout can be opened by who owns them."""
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    theirs, end = [out, err], os.open("/dev/null", os.O_RDONLY)
    if wants_stdin:
        end, feed = os.pipe()
        theirs.append(feed)
    if owner is not None:
        for fd in (out_end, err_end, end) if wants_stdin else (out_end, err_end):
            os.fchown(fd, *owner)
    socket.send_fds(hub, [b"F"], theirs)
    for number, fd in enumerate((end, out_end, err_end)):
        os.dup2(fd, number)


def become(uid: int, gid: int, groups: list[int] | None) -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    # Where memory is short, commands end before PID 1 and before the hub. The file is ours only while dumpable.
    _libc.prctl(PR_SET_DUMPABLE, 1)
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    os.write(fd, b"500")
    os.close(fd)
    _libc.prctl(PR_SET_DUMPABLE, 0)
    for capability in range(64):
        if capability not in CAPABILITIES:
            _libc.prctl(PR_CAPBSET_DROP, capability)  # EINVAL past the kernel's last one
    if groups is not None:
        os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def command(request: dict[str, Any], home: str) -> None:
    environment = {"PATH": PATH, "HOME": home, **request["env"]}
    os.chdir(request["cwd"])
    argv = [os.fsencode(word) for word in request["argv"]]
    names = [argv[0]] if b"/" in argv[0] else [os.fsencode(d) + b"/" + argv[0] for d in environment["PATH"].split(":")]
    error: OSError | None = None
    for name in names:
        try:
            os.execve(name, argv, {os.fsencode(key): os.fsencode(value) for key, value in environment.items()})
        except OSError as exc:
            error = exc if error is None or not isinstance(exc, FileNotFoundError) else error
    raise error or Refused("no command")


def account(user: str) -> tuple[int, int, list[int], str]:
    """uid, gid, groups and home of `NAME|UID[:GROUP|GID]`, by the sandbox's own /etc/passwd and /etc/group.

    Read by hand: the C library would load the sandbox's modules for it into this process.
    """
    name, _, group = user.partition(":")
    rows = table("/etc/passwd", 6) or [["root", "", "0", "0", "", "/root"]]  # a root file system may have no such file
    row = next((row for row in rows if name in (row[0], row[2])), None)
    if row is None and not name.isdigit():
        raise Refused(f"user {name}: no such user in /etc/passwd")
    uid, gid, home = (int(row[2]), int(row[3]), row[5]) if row else (int(name), 0, "/")
    groups = table("/etc/group", 4)
    if group:
        found = next((int(row[2]) for row in groups if group in (row[0], row[2])), None)
        if found is None and not group.isdigit():
            raise Refused(f"group {group}: no such group in /etc/group")
        gid = int(group) if found is None else found
        return uid, gid, [gid], home
    login = row[0] if row else ""
    return uid, gid, [gid, *(int(row[2]) for row in groups if login in row[3].split(",") and login)], home or "/"


def table(path: str, columns: int) -> list[list[str]]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        text = os.read(fd, 1 << 20).decode(errors="surrogateescape")
        os.close(fd)
    except OSError:
        return []
    rows = [line.split(":") for line in text.splitlines()]
    return [row for row in rows if len(row) >= columns and row[2].isdigit() and (columns == 4 or row[3].isdigit())]
