"""Files into a sandbox and out of it, as tar over pipes: `tar` runs inside, so no name there leads to a host's file."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from converters.harbor.command import SandboxError
from converters.harbor.sandbox import Sandbox

DOWNLOAD_LIMIT = 4 << 30
"""Bytes of an archive that comes out of a sandbox."""
FILES_LIMIT = 200_000
"""Members of an archive that comes out of a sandbox."""
NAME_MAX = 255
TIMEOUT = 600.0
"""Seconds for an upload or a download; what harbor gives packing."""
UNPACK = 'mkdir -p -- "$0" && exec tar --extract --file=- --same-owner --preserve-permissions --directory="$0"'


type Members = Sequence[tuple[Path, str]]
"""Files and directories of the host, each with its name in an archive; a directory stands for itself alone."""


async def put(sandbox: Sandbox, source: Path, target: str) -> None:
    """A file to the file `target`, or what is in a directory into the directory `target`.

    Owned by root; modes and links are kept. What is there and has a name of `source` is replaced.

    Raises:
        FileNotFoundError: There is no `source`.
        SandboxError: It cannot be written there.
    """
    source = source.resolve(strict=True)
    if source.is_dir():
        found = sorted(source.rglob("*"))
        await put_members(sandbox, [(path, str(path.relative_to(source))) for path in found], target)
    else:
        parent, name = os.path.split(target)
        await put_members(sandbox, [(source, name)], parent or "/")


async def put_members(
    sandbox: Sandbox, members: Members, target: str, *, owner: tuple[int, int] = (0, 0), mode: int | None = None
) -> None:
    """Files and directories into the directory `target`, made where it is not there; links are not followed."""

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid, member.gid = owner
        member.uname = member.gname = ""
        member.mode = member.mode if mode is None or member.issym() else mode
        return member

    def write(pipe: BinaryIO) -> None:
        with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for source, name in members:
                archive.add(source, name, recursive=False, filter=owned)

    done = await sandbox.run(["sh", "-c", UNPACK, target], stdin=write, timeout=TIMEOUT)
    if done.code:
        raise SandboxError(f"upload to {target} failed: {done.stderr.decode(errors='replace').strip()}")


async def get(sandbox: Sandbox, source: str, target: Path, *, limit: int = DOWNLOAD_LIMIT) -> list[str]:
    """What is in the directory `source` into the directory `target`, or the file `source` to the file `target`.

    Returns a line for everything that was left out: devices, pipes, and links that lead out of `target`.

    Raises:
        FileNotFoundError: There is no such file in the sandbox.
        SandboxError: It is more than `limit` bytes, or cannot be read.
    """
    is_directory = (await sandbox.run(["test", "-d", source], timeout=TIMEOUT)).code == 0
    parent, name = (source, ".") if is_directory else os.path.split(source)
    arguments = [
        "tar",
        "--create",
        "--file=-",
        f"--directory={parent or '/'}",
        *([] if is_directory else ["--dereference"]),
    ]
    with tempfile.TemporaryFile() as archive:
        sink = _Bounded(archive, limit)
        try:
            done = await sandbox.run([*arguments, "--", f"./{name}"], timeout=TIMEOUT, sinks=(sink.write, None))
        except _TooMuch as exc:
            raise SandboxError(f"download of {source} failed: it is more than {limit} bytes") from exc
        said = done.stderr.decode(errors="replace").strip()
        if done.code and not all(line.endswith("file changed as we read it") for line in said.splitlines()):
            if (await sandbox.run(["test", "-e", source], timeout=TIMEOUT)).code:
                raise FileNotFoundError(f"{source}: no such file in the sandbox")
            raise SandboxError(f"download of {source} failed: {said}")
        archive.seek(0)
        try:
            if is_directory:
                return extract(archive, target)
            left_out = extract(archive, target.parent, only=target.name)
            if left_out:
                raise ValueError(left_out[0])
            return []
        except (tarfile.TarError, ValueError) as exc:
            raise SandboxError(f"download of {source} failed: {exc}") from exc


class _TooMuch(SandboxError):
    pass


class _Bounded:
    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file = file
        self._left = limit

    def write(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise _TooMuch("too much")
        self._file.write(data)


def extract(archive: IO[bytes], target: Path, *, only: str | None = None) -> list[str]:
    """Unpack what a sandbox made into `target`, or its one file under the name `only`; returns what was left out.

    Nothing is ever written through a link: a link in the way, of an earlier download say, is replaced, and links are
    made last. tarfile's `data` filter is asked too, but it alone is not enough (CVE-2025-4517).
    """
    target.mkdir(parents=True, exist_ok=True)
    left_out: list[str] = []
    links: list[tarfile.TarInfo] = []
    with tarfile.open(fileobj=archive, mode="r:") as members:
        for number, member in enumerate(members):
            if number >= FILES_LIMIT:
                raise ValueError(f"it has more than {FILES_LIMIT} files")
            if member.issym():
                links.append(member)
            elif why := _member(members, member, target, PurePosixPath(only or member.name)):
                left_out.append(f"{member.name!r}: {why}")
    return left_out + [f"{link.name!r}: {why}" for link in links if (why := _link(link, target))]


def _member(members: tarfile.TarFile, member: tarfile.TarInfo, target: Path, name: PurePosixPath) -> str | None:
    """Unpack a file or a directory, or tell why not."""
    if name.is_absolute() or ".." in name.parts:
        return "the name leads out of the directory"
    if any(len(os.fsencode(part)) > NAME_MAX for part in name.parts):
        return "the name is too long"
    if member.isdir():
        _directory(target, name.parts)
        return None
    if not (member.isfile() or member.islnk()):
        return "neither a file nor a directory nor a link"
    return _file(members, member, target, name)


def _directory(target: Path, parts: Sequence[str]) -> Path:
    """The directory of these names under `target`, none of which is a link."""
    for part in parts:
        target = target / part
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            target.unlink()
        target.mkdir(exist_ok=True)
    return target


def _place(target: Path, name: PurePosixPath) -> Path:
    """The path for a new file, where there is nothing."""
    path = _directory(target, name.parts[:-1]) / name.name
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    return path


def _file(members: tarfile.TarFile, member: tarfile.TarInfo, target: Path, name: PurePosixPath) -> str | None:
    try:
        source = members.extractfile(member)  # of a hard link: the member that has the content
        place = _place(target, name)
        safe = tarfile.data_filter(member.replace(name=name.as_posix(), deep=False), str(target))
    except (KeyError, tarfile.FilterError) as exc:
        return str(exc)
    if source is None:
        return f"the hard link's target {member.linkname!r} is no file of the archive"
    mode = (safe.mode or 0o644) & 0o755 | 0o600
    fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with open(fd, "wb") as file:
        shutil.copyfileobj(source, file)
    return None


def _link(link: tarfile.TarInfo, target: Path) -> str | None:
    """Make the link, unless it could lead out: `..` is only at its beginning and never above `target`.

    Its own directory is made of directories that are no links, so those `..` mean what they say, and every other part
    leads down, perhaps through another link of which the same is true.
    """
    name, parts = PurePosixPath(link.name), PurePosixPath(link.linkname).parts
    if name.is_absolute() or ".." in name.parts:
        return "the name leads out of the directory"
    up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    if link.linkname.startswith("/") or ".." in parts[up:] or up > len(name.parts) - 1:
        return f"the link leads out of the directory, to {link.linkname!r}"
    os.symlink(link.linkname, _place(target, name))
    return None
