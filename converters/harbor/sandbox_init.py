"""The program a sandbox begins with: a keeper outside, which makes the namespaces, and PID 1 inside them.

Run as `python -I -S sandbox_init.py CONFIG`; stdlib only. Three processes:

    keeper    as the hub's user: writes the id maps, waits for PID 1, removes the cgroups. It outlives the hub.
    stub      enters the user namespace, makes the others, forks PID 1 and is gone (the keeper becomes the parent).
    PID 1     builds the root, leaves the host's, then starts commands (sandbox_serve.py) until the hub's socket ends.

With the end of PID 1 the kernel ends every process of the sandbox and with them its mounts, which nobody else sees.
"""

import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sandbox_serve  # type: ignore[import-not-found]
from sandbox_root import KEYCTL, Failed, build, call, idmapped, write  # type: ignore[import-not-found]

CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 1 << 28, 1 << 17, 1 << 29, 1 << 30
CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP = 1 << 27, 1 << 26, 1 << 25
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
_libc = ctypes.CDLL(None, use_errno=True)


def unshare(at: str, flags: int) -> None:
    call(at, _libc.unshare(flags))


# The keeper


def keep(config: dict[str, Any]) -> int:
    control = socket.socket(fileno=config["control"])
    ours, stubs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    stub = os.fork()
    if not stub:
        ours.close()
        begin(config, control, stubs)
    stubs.close()
    init = 0
    network = None
    try:
        if ours.recv(1) == b"u":
            write_maps(stub, config)
            lower = idmapped(config["lower"], stub) if config["base"] else None
            socket.send_fds(ours, [b"m"], [] if lower is None else [lower])
            init = int(ours.recv(32) or 0)
        os.waitpid(stub, 0)
        if init:
            ours.send(b"p")
            network = connect(config["network"], ours) if config["network"] else None
            ours.send(b"g")
    except (OSError, Failed) as exc:
        text = exc.text if isinstance(exc, Failed) else str(exc)
        control.send(json.dumps({"at": getattr(exc, "at", "id maps"), "error": text}).encode() + b"\n")
        os.kill(init or stub, signal.SIGKILL)
    control.close()  # only PID 1 has it now: its end is what the hub sees
    wait_for(init)
    if network is not None:
        os.kill(network, signal.SIGKILL)
    remove(config["cgroups"])
    return 0


def write_maps(pid: int, config: dict[str, Any]) -> None:
    base, count = (config["base"], config["count"]) if config["base"] else (None, 1)
    if base is None:
        write(f"/proc/{pid}/setgroups", "deny")  # user_namespaces(7): asked of who has no privilege outside
    write(f"/proc/{pid}/uid_map", f"0 {os.geteuid() if base is None else base} {count}")
    write(f"/proc/{pid}/gid_map", f"0 {os.getegid() if base is None else base} {count}")


def connect(program: str, init: socket.socket) -> int:
    """slirp4netns for the network namespace of PID 1; it ends with the keeper."""
    _, fds, _, _ = socket.recv_fds(init, 1, 2)
    ready, told = os.pipe()
    ended, _ = os.pipe()  # the write end is the keeper's alone: it closes with the keeper, which slirp4netns sees
    pid = os.fork()
    if not pid:
        for fd in (*fds, told, ended):
            os.set_inheritable(fd, True)
        user, net = (f"/proc/self/fd/{fd}" for fd in fds)
        arguments = ["--configure", "--mtu=1500", "--disable-host-loopback", f"--ready-fd={told}"]
        arguments += [f"--exit-fd={ended}", "--netns-type=path", f"--userns-path={user}", net, "tap0"]
        os.dup2(2, 1)
        os.execv(program, [program, *arguments])
    os.close(told)
    os.close(ended)
    if not os.read(ready, 1):
        raise Failed("network", f"{program} ended before the network was ready")
    return pid


def wait_for(pid: int) -> None:
    """Returns when PID 1 has been reaped. What else ends is the stub, or the network's program."""
    while True:
        try:
            ended, _ = os.waitpid(pid or -1, 0)
        except ChildProcessError:
            return
        if ended == pid:
            return


def remove(cgroups: list[str]) -> None:
    for path in cgroups:
        for _ in range(200):  # a cgroup is empty a moment after its last process has been reaped
            try:
                os.rmdir(path)
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.01)


# The stub


def begin(config: dict[str, Any], control: socket.socket, keeper: socket.socket) -> None:
    """Never returns: PID 1 runs, or the reason why not is told to the hub."""
    try:
        for path in config["cgroups"]:
            write(f"{path}/cgroup.procs", "0")
        unshare("user namespace", CLONE_NEWUSER)
        keeper.send(b"u")
        message, fds, _, _ = socket.recv_fds(keeper, 1, 1)
        if message != b"m":
            os._exit(1)
        if config["base"]:
            os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        kinds = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET
        unshare("namespaces", kinds | CLONE_NEWCGROUP)
        init = os.fork()
        if init:
            keeper.send(str(init).encode())
            os._exit(0)
        become_init(config, control, keeper, fds[0] if fds else None)
    except BaseException as exc:
        at, text = (exc.at, exc.text) if isinstance(exc, Failed) else ("start", f"{type(exc).__name__}: {exc}")
        control.send(json.dumps({"at": at, "error": text}).encode() + b"\n")
    finally:
        os._exit(1)


# PID 1


def become_init(config: dict[str, Any], control: socket.socket, keeper: socket.socket, lower: int | None) -> None:
    if keeper.recv(1) != b"p":  # the stub is gone: PDEATHSIG means the keeper from here on
        os._exit(1)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if config["network"]:
        ours = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("user", "net")]
        socket.send_fds(keeper, [b"n"], ours)
        for fd in ours:
            os.close(fd)
    if keeper.recv(1) != b"g":
        os._exit(1)
    keeper.close()
    # No process of the sandbox may trace PID 1 or read its memory, files or program through /proc: its memory is of
    # the user namespace in which it was executed, the hub's, and where that is not dumpable nobody inside has a right.
    _libc.prctl(PR_SET_DUMPABLE, 0)
    forget_arguments()
    _libc.syscall(KEYCTL, 1, None, 0, 0, 0)  # KEYCTL_JOIN_SESSION_KEYRING: none of the hub's keys
    writable = build(config, lower)
    socket.sethostname(config["hostname"])
    loopback_up()
    resource.setrlimit(resource.RLIMIT_NPROC, (config["pids"], config["pids"]))
    # 1 and not 0: a handler in core_pattern, which is the host's, is run for every other limit (core(5))
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    os.umask(0o022)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    control.send(json.dumps({"usr_writable": writable}).encode() + b"\n")
    sandbox_serve.serve(control, several_ids=bool(config["base"]))


def forget_arguments() -> None:
    """The command line, which /proc/1/cmdline shows to everybody, has paths of the host."""
    with open("/proc/self/stat", "rb") as file:
        begin, end = map(int, file.read().rpartition(b")")[2].split()[45:47])  # arg_start, arg_end (proc(5))
    ctypes.memset(begin, 0, end - begin)
    ctypes.memmove(begin, b"init", 4)


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1 | 64))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING


if __name__ == "__main__":
    sys.exit(keep(json.loads(sys.argv[1])))
