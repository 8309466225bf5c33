"""Does in a sandbox what a Dockerfile says."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from converters.harbor.command import SandboxError
from converters.harbor.dockerfile import Copy, Directory, DockerfileError, Image, Run
from converters.harbor.sandbox import Sandbox
from converters.harbor.transfer import Members, put_members


class BuildFailed(SandboxError):
    """A step of a Dockerfile failed, with the line and what the command said."""


async def build(sandbox: Sandbox, image: Image, context: Path) -> None:
    """Raises BuildFailed."""
    ignored = read_ignore(context)
    for step in image.steps:
        if isinstance(step, Directory):
            await _must(sandbox, ["mkdir", "-p", "--", step.path], f"WORKDIR {step.path}")
        elif isinstance(step, Run):
            await _run(sandbox, step)
        else:
            await _copy(sandbox, step, context, ignored)


async def _run(sandbox: Sandbox, step: Run) -> None:
    done = await sandbox.run(step.argv, cwd=step.cwd, env=step.env, user=step.user)
    if done.code:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()[-2000:]
        raise BuildFailed(f"line {step.line}: RUN {step.argv[-1]} ended with {done.code}: {said}")


async def _must(sandbox: Sandbox, argv: list[str], what: str) -> str:
    done = await sandbox.run(argv)
    if done.code:
        raise BuildFailed(f"{what} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace").strip()


async def _copy(sandbox: Sandbox, step: Copy, context: Path, ignored: Callable[[str], bool]) -> None:
    """Directories give what is in them. A file goes into a target that is a directory, or else is the target."""
    found = [path for pattern in step.sources for path in matching(context, pattern, step.line)]
    directory = step.target.endswith("/") or len(found) > 1
    directory = directory or (await sandbox.run(["test", "-d", step.target])).code == 0
    members: list[tuple[Path, str]] = []
    for source in found:
        if source.is_dir():
            members += _tree(source, context, ignored)
        elif not ignored(source.relative_to(context.resolve()).as_posix()):
            members.append((source, source.name if directory else os.path.basename(step.target)))
    only_directories = all(source.is_dir() for source in found)
    target = step.target if directory or only_directories else os.path.dirname(step.target)
    if not members and not only_directories:
        raise BuildFailed(f"line {step.line}: COPY {' '.join(step.sources)}: .dockerignore leaves nothing of it")
    owner = await _owner(sandbox, step.owner)
    await put_members(sandbox, members, target or "/", owner=owner, mode=step.mode)


def matching(context: Path, pattern: str, line: int) -> list[Path]:
    """The files and directories of the context that a source names; `..` and a leading slash stay in the context."""
    root = context.resolve()
    inside = os.path.normpath("/" + pattern).lstrip("/")
    paths = sorted(root.glob(inside)) if inside else [root]
    if not paths:
        raise BuildFailed(f"line {line}: COPY {pattern}: there is no such file in {context.name}/")
    for path in paths:
        if not path.resolve().is_relative_to(root):
            raise BuildFailed(f"line {line}: COPY {pattern}: {path.name} is a link out of {context.name}/")
    return [path.resolve() if path.is_symlink() else path for path in paths]


def _tree(source: Path, context: Path, ignored: Callable[[str], bool]) -> Members:
    root = context.resolve()
    found = sorted(source.rglob("*"))
    return [
        (path, path.relative_to(source).as_posix())
        for path in found
        if not ignored(path.relative_to(root).as_posix()) and not path.is_socket()
    ]


async def _owner(sandbox: Sandbox, owner: str | None) -> tuple[int, int]:
    """uid and gid of `--chown=USER[:GROUP]`: a user alone gives its number to the group too, as Docker has it."""
    if owner is None:
        return 0, 0
    user, _, group = owner.partition(":")
    uid = user if user.isdigit() else await _must(sandbox, ["id", "-u", "--", user], f"--chown={owner}")
    gid = group or uid
    if not gid.isdigit():
        line = await _must(sandbox, ["getent", "group", group], f"--chown={owner}: group {group}")
        gid = line.split(":")[2]
    return int(uid), int(gid)


def read_ignore(context: Path) -> Callable[[str], bool]:
    """Whether `.dockerignore` leaves a path of the context out; the last pattern that fits decides."""
    try:
        text = (context / ".dockerignore").read_text()
    except FileNotFoundError:
        return lambda _: False
    rules: list[tuple[re.Pattern[str], bool]] = []
    for line in text.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        out = not pattern.startswith("!")
        rules.append((_pattern(os.path.normpath(pattern.removeprefix("!")).lstrip("/")), out))

    def ignored(path: str) -> bool:
        prefixes = [str(each) for each in (*reversed(PurePosixPath(path).parents), PurePosixPath(path))]
        verdict = False
        for pattern, out in rules:
            if any(pattern.fullmatch(prefix) for prefix in prefixes):
                verdict = out
        return verdict

    return ignored


def _pattern(glob: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", glob)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    try:
        return re.compile("".join(known.get(p) or (p if p.startswith("[") else re.escape(p)) for p in parts))
    except re.error as exc:
        raise DockerfileError(f".dockerignore: {glob}: {exc}") from exc
