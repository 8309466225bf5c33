"""The root file system of a sandbox, built by its PID 1 in its own mount namespace. Stdlib only."""

import ctypes
import errno
import os
import platform
import struct
from typing import Any

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
AT_FDCWD, AT_EMPTY_PATH, OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH, MOUNT_ATTR_IDMAP = -100, 0x1000, 1, 4, 0x100000
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
ROOM = "/tmp"  # where the sandbox's tmpfs is mounted; only the sandbox's mount namespace sees it
PIVOT_ROOT, KEYCTL = {"x86_64": (155, 250), "aarch64": (41, 219)}.get(platform.machine(), (-1, -1))
ETC = """
alternatives bash.bashrc ca-certificates debian_version default/locale host.conf inputrc java ld.so.cache
ld.so.conf ld.so.conf.d localtime login.defs magic mime.types os-release pam.d perl profile protocols python3
python3.11 python3.12 python3.13 redhat-release rpc security/limits.conf services shells ssl/certs
ssl/openssl.cnf terminfo timezone
"""
"""What a sandbox gets of the host's /etc: what libraries and tools of /usr need, no accounts, no keys, no hosts."""
DIRECTORIES = "app etc home mnt opt root run srv tmp var/cache var/lib var/log var/tmp logs"
PASSWD = """root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
man:x:6:12:man:/var/cache/man:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\nmail:x:8:\nman:x:12:\nshadow:x:42:\n"
GROUP += "www-data:x:33:\nstaff:x:50:\nusers:x:100:\nnogroup:x:65534:\n"
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """`at` names the part that failed, `text` what the kernel said."""

    def __init__(self, at: str, text: str) -> None:
        super().__init__(at, text)
        self.at, self.text = at, text


def call(at: str, result: int) -> int:
    """The result of a call of the C library, or `Failed` with its errno."""
    if result < 0:
        number = ctypes.get_errno()
        raise Failed(at, f"{os.strerror(number)} ({errno.errorcode.get(number, number)})")
    return result


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    at = f"mount of {kind or source} on {target}"
    call(at, _libc.mount(*encoded[:3], ctypes.c_ulong(flags), encoded[3]))


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def idmapped(lower: str, pid: int) -> int | None:
    """A detached mount of `lower` in which the host's root is the sandbox's, or None where the kernel cannot."""
    tree = _libc.syscall(OPEN_TREE, AT_FDCWD, os.fsencode(lower), OPEN_TREE_CLONE | os.O_CLOEXEC)
    if tree < 0:
        return None
    namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    attributes = struct.pack("QQQQ", MOUNT_ATTR_IDMAP, 0, 0, namespace)
    done = _libc.syscall(MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, attributes, len(attributes))
    os.close(namespace)
    if done < 0:
        os.close(tree)
        return None
    return tree


def build(config: dict[str, Any], lower: int | None) -> bool:
    """The root: an overlay on `lower`, all that is written in one tmpfs, and the host's root left behind.

    Returns whether what is in the lower layer is of the sandbox's root, who may then change it.
    """
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    from_path = os.open(config["lower"], os.O_PATH | os.O_DIRECTORY) if lower is None else -1
    size, nodes = config["storage"], max(config["storage"] // 4096, 65536)
    mount("tmpfs", ROOM, "tmpfs", MS_NODEV, f"size={size},nr_inodes={nodes},mode=755")
    root = f"{ROOM}/root"
    os.mkdir(root)
    if lower is not None:
        os.mkdir(f"{ROOM}/lower")
        moved = _libc.syscall(MOVE_MOUNT, lower, b"", AT_FDCWD, os.fsencode(f"{ROOM}/lower"), MOVE_MOUNT_F_EMPTY_PATH)
        call("move_mount", moved)
        from_path = os.open(f"{ROOM}/lower", os.O_PATH)
    if config["whole"]:
        overlay(from_path, root)
    else:
        mount(root, root, None, MS_BIND)
        os.mkdir(f"{root}/usr")
        overlay(from_path, f"{root}/usr")
        synthetic(root, config["hostname"])
    if config["network"]:
        name = f"{root}/etc/resolv.conf"
        if os.path.lexists(name):
            os.unlink(name)
        write(name, "nameserver 10.0.2.3\n")  # slirp4netns answers there
    writable = os.fstat(from_path).st_uid == 0
    kernel_parts(root, tty=5 if config["base"] else 0)
    os.chdir(root)
    call("pivot_root", _libc.syscall(PIVOT_ROOT, b".", b"."))
    call("umount of the host's root", _libc.umount2(b".", MNT_DETACH))
    os.chdir("/")
    return writable


def overlay(lower: int, target: str) -> None:
    for name in ("upper", "work"):
        os.mkdir(f"{ROOM}/{name}")
    skeleton(lower, f"{ROOM}/upper")
    os.fchdir(lower)  # so that the lower layer is "." and no path is quoted for overlayfs
    mount("overlay", target, "overlay", 0, f"lowerdir=.,upperdir={ROOM}/upper,workdir={ROOM}/work,userxattr")


def skeleton(lower: int, upper: str) -> None:
    """Where the host's root is nobody here, directories in which tools install become ours: files can be made there."""
    os.fchdir(lower)
    if os.stat(".").st_uid != 65534:
        return
    for path, names, _ in os.walk("."):
        os.makedirs(f"{upper}/{path}", exist_ok=True)
        names[:] = [name for name in names if f"{path}/{name}".startswith(("./local", "./lib/python3")) or path == "."]
        if path.count("/") == 4:
            names.clear()


def synthetic(root: str, hostname: str) -> None:
    for name in DIRECTORIES.split():
        os.makedirs(f"{root}/{name}")
    os.chmod(f"{root}/root", 0o700)
    os.chmod(f"{root}/var/tmp", 0o1777)
    for name in ("bin", "sbin", "lib", "lib64", "lib32", "libx32"):
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
    for name in ETC.split():
        copy(f"/etc/{name}", f"{root}/etc/{name}")
    write(f"{root}/etc/passwd", PASSWD)
    write(f"{root}/etc/group", GROUP)
    write(f"{root}/etc/shadow", "".join(f"{line.split(':')[0]}:*:19000:0:99999:7:::\n" for line in PASSWD.splitlines()))
    os.chmod(f"{root}/etc/shadow", 0o640)
    write(f"{root}/etc/hostname", f"{hostname}\n")
    write(f"{root}/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {hostname}\n")
    write(f"{root}/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")


def copy(source: str, target: str) -> None:
    """What the sandbox's root, who is nobody on the host, may read of it: what others may not is not for it either."""
    try:
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif os.path.isdir(source):
            names = os.listdir(source)
            os.makedirs(target, exist_ok=True)
            for name in names:
                copy(f"{source}/{name}", f"{target}/{name}")
        elif os.path.isfile(source) and not source.endswith(".key"):
            with open(source, "rb") as file:
                data = file.read()
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(data)
    except PermissionError:
        pass


def kernel_parts(root: str, tty: int) -> None:
    for name, mode in (("proc", 0o555), ("sys", 0o555), ("dev", 0o755), ("tmp", 0o1777), ("run", 0o755)):
        os.makedirs(f"{root}/{name}", exist_ok=True)
        os.chmod(f"{root}/{name}", mode)
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    dev = f"{root}/dev"
    mount("tmpfs", dev, "tmpfs", MS_NOSUID, "mode=755,size=64k,nr_inodes=256")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        write(f"{dev}/{name}", "")
        mount(f"/dev/{name}", f"{dev}/{name}", None, MS_BIND)
    os.mkdir(f"{dev}/shm")
    mount("tmpfs", f"{dev}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m")
    os.mkdir(f"{dev}/pts")
    options = f"newinstance,ptmxmode=0666,mode=620,gid={tty}"
    mount("devpts", f"{dev}/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
    links = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}
    for name, rest in links.items():
        os.symlink(f"/proc/self/fd{rest}", f"{dev}/{name}")
    os.symlink("pts/ptmx", f"{dev}/ptmx")
