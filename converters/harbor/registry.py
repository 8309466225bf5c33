"""Registries of harbor tasks: JSON files of datasets, whose tasks are local directories or stand in git repositories.

Fields as in harbor 0.26 (`models/registry.py`): a list of `{name, version, description, tasks, metrics}`, a task
`{name, path, git_url, git_commit_id}`. As in harbor, a relative local path begins where the program runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from interop.errors import SourceError

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_GIT_TIMEOUT = 600.0
"""Seconds for one command of git."""


def locate(file: Path, dataset: str | None) -> dict[str, list[Path]]:
    """The task directories of a registry's datasets, by split; repositories are fetched into the cache.

    Raises:
        SourceError: It is no registry, there is no such dataset, or a task cannot be had.
    """
    datasets = _chosen(_read(file), file, dataset)
    if len(datasets) > 1 and any(task.get("git_url") for it in datasets.values() for task in it["tasks"]):
        raise SourceError(f"{file} has tasks in git; say which dataset is fetched: dataset= {_listed(datasets)}")
    return {split: _directories(it, f"{file}: dataset {split}") for split, it in datasets.items()}


def _chosen(datasets: Mapping[str, Any], file: Path, dataset: str | None) -> dict[str, Any]:
    """The datasets by split."""
    names = [it["name"] for it in datasets.values()]
    by_split = {it["name"] if names.count(it["name"]) == 1 else key: it for key, it in datasets.items()}
    if dataset is None:
        return by_split
    found = datasets.get(dataset) or by_split.get(dataset)
    if found is None:
        raise SourceError(f"{file} has no dataset {dataset!r}; accepted are {_listed(datasets)}")
    return {dataset: found}


def _read(file: Path) -> dict[str, Any]:
    """The datasets by `name@version`."""
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError) as exc:
        raise SourceError(f"{file} is no registry of harbor tasks, a JSON file: {exc}") from exc
    if not isinstance(document, list):
        raise SourceError(f"{file} is no registry of harbor tasks: accepted is a list of datasets")
    found: dict[str, Any] = {}
    for index, dataset in enumerate(document):
        _check(dataset, f"{file}: [{index}]", ("name", "version", "description"))
        if not isinstance(dataset.get("tasks"), list) or not dataset["tasks"]:
            raise SourceError(f"{file}: [{index}].tasks: accepted is a list of one task or more")
        for number, task in enumerate(dataset["tasks"]):
            where = f"{file}: [{index}].tasks[{number}]"
            _check(task, where, ("name", "path"))
            _check(task, where, [key for key in ("git_url", "git_commit_id") if task.get(key) is not None])
        name = f"{dataset['name']}@{dataset['version']}"
        if name in found:
            raise SourceError(f"{file}: [{index}]: there is a dataset {name} already")
        found[name] = dataset
    return found


def _check(value: Any, where: str, keys: Iterable[str]) -> None:
    if not isinstance(value, dict):
        raise SourceError(f"{where} is {value!r}; accepted is an object")
    for key in keys:
        if not isinstance(value.get(key), str):
            raise SourceError(f"{where}.{key} is {value.get(key)!r}; accepted is a string")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _directories(dataset: Mapping[str, Any], where: str) -> list[Path]:
    """The directories of a dataset's tasks, in its order. A repository is cloned once for all its tasks."""
    wanted: dict[tuple[str, str | None], list[str]] = {}
    for task in dataset["tasks"]:
        if url := task.get("git_url"):
            wanted.setdefault((url, task.get("git_commit_id")), []).append(_inside(task["path"], where))
    clones = {key: fetch(*key, paths) for key, paths in wanted.items()}
    found = []
    for task in dataset["tasks"]:
        clone = clones.get((task.get("git_url"), task.get("git_commit_id")))
        path = clone / _inside(task["path"], where) if clone else Path(task["path"]).expanduser().resolve()
        if not path.is_dir():
            raise SourceError(f"{where}: task {task['name']}: there is no directory {path}")
        found.append(path)
    return found


def _inside(path: str, where: str) -> str:
    """A path in a repository. Raises `SourceError` where it leads out of it."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise SourceError(f"{where}: {path} is not inside the repository; accepted is a relative path without ..")
    return str(parts)


def fetch(url: str, commit: str | None, paths: Sequence[str]) -> Path:
    """The cached work tree of a repository at a commit (a hash, a branch, a tag; HEAD if None), of some paths alone.

    What is in the cache is complete and never changes, so a full hash that is there needs no network.
    """
    if not (commit and _COMMIT.fullmatch(commit)):
        commit = _resolved(url, commit or "HEAD")
    key = json.dumps([url, commit, sorted(set(paths))])
    place = cache() / hashlib.sha256(key.encode()).hexdigest()[:24]
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
        try:
            _clone(url, commit, paths, making)
            making.rename(place)
        except OSError:
            if not place.is_dir():  # else another process was quicker
                raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return place


def cache() -> Path:
    """Where repositories are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "openenv-interop" / "harbor"


def _resolved(url: str, name: str) -> str:
    found = _git("ls-remote", "--", url, name, f"refs/heads/{name}", f"refs/tags/{name}^{{}}")
    if not found:
        raise SourceError(f"{url} has no branch or tag {name!r}; accepted is one of them, or a full commit hash")
    return found.splitlines()[-1].split()[0]


def _clone(url: str, commit: str, paths: Sequence[str], place: Path) -> None:
    """A partial clone that has nothing but the files of some paths. Hosts without the filter send all of them."""
    _git("clone", "--quiet", "--filter=blob:none", "--depth=1", "--no-checkout", "--", url, str(place))
    patterns = "\n".join(f"/{path}" if path != "." else "/*" for path in paths)
    _git("-C", str(place), "sparse-checkout", "set", "--no-cone", "--stdin", text=patterns)
    _git("-C", str(place), "fetch", "--quiet", "--depth=1", "origin", commit)
    _git("-C", str(place), "checkout", "--quiet", "--detach", commit)


def _git(*arguments: str, text: str | None = None) -> str:
    # Nobody is there to type a password.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    run = {"capture_output": True, "text": True, "timeout": _GIT_TIMEOUT, "env": environment}
    given = {"input": text} if text is not None else {"stdin": subprocess.DEVNULL}
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(["git", *arguments], **run, **given)  # type: ignore[call-overload]
    except FileNotFoundError as exc:
        raise SourceError("tasks in git repositories need the program git, which is not installed") from exc
    except subprocess.TimeoutExpired as exc:
        raise SourceError(f"git {' '.join(arguments)}: no end after {_GIT_TIMEOUT:g} s") from exc
    if done.returncode:
        raise SourceError(f"git {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout.strip()
