"""Is a set of harbor tasks sound? Each is linted, then played twice by harbor itself: by its solution and by nobody.

What makes a task sound is said in `judge`.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from converters.harbor.internet import PHASES, needs
from converters.harbor.judge import RULES, Run, finding, judge, shown
from converters.harbor.lint import Finding, lint
from converters.harbor.needs import require_harbor
from converters.harbor.tasks import HarborTask, locate, read
from interop.errors import SourceError

__all__ = ["RULES", "Checked", "Progress", "Run", "check", "shown"]

LOG_LINES = 5
"""How much of what a verifier or a solution has written is kept."""

Progress = Callable[[str, int, int], None]
"""Is told what has been done last, how much is done, and how much there is."""


@dataclass(slots=True, kw_only=True)
class Checked:
    """The verdict on one task."""

    split: str
    name: str
    path: Path
    findings: list[Finding]
    internet: list[str] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        return all(it.severity != "error" for it in self.findings)

    def document(self) -> dict[str, Any]:
        found = [asdict(it) for it in self.findings]
        runs = {agent: asdict(run) for agent, run in self.runs.items()}
        about = {"split": self.split, "name": self.name, "path": str(self.path), "sound": self.sound}
        return {**about, "internet": self.internet, "findings": found, **runs}


def check(
    target: str,
    *,
    dataset: str | None = None,
    static: bool = False,
    # How it is played
    sandbox: str = "auto",
    jobs: int = 4,
    progress: Progress = lambda name, done, total: None,
) -> list[Checked]:
    """The verdicts on the tasks that a target names (as for `load`), in their order.

    Args:
        target: A task directory, a directory of them, or a registry's file.
        dataset: Of a registry: `name` or `name@version`.
        static: Only lint; harbor is not needed.
        sandbox: "namespace", "docker", or "auto": the first that can play the task.
        jobs: Trials at a time.
        progress: Told of each trial that has ended.

    Raises:
        SourceError: There are no tasks there, or harbor is not installed.
    """
    checked = [_linted(split, path) for split, paths in locate(target, dataset).items() for path in paths]
    _find_taken_names(checked)
    if not static:
        try:
            require_harbor()
        except SourceError as exc:
            raise SourceError(f"playing tasks needs harbor: {exc}, or lint only, with --static") from exc
        asyncio.run(_play(checked, sandbox, jobs, progress))
    return checked


def _linted(split: str, path: Path) -> Checked:
    found = Checked(split=split, name=path.name, path=path, findings=lint(path))
    try:
        task = read(path)
    except SourceError:
        return found  # which lint has found too
    phases = {need.phase for need in needs(path, task.config)}
    found.name, found.internet = task.name, [phase for phase in PHASES if phase in phases]
    return found


def _find_taken_names(checked: list[Checked]) -> None:
    places: dict[tuple[str, str], Path] = {}
    for it in checked:
        first = places.setdefault((it.split, it.name), it.path)
        if first != it.path:
            message = f"{it.name!r} is the name of {first} too"
            it.findings.append(finding("name-taken", message, "rename one: tasks are told apart by name", "task.toml"))


# Playing


async def _play(checked: list[Checked], sandbox: str, jobs: int, progress: Progress) -> None:
    """Play all tasks that can be read, by both agents, some at a time."""
    from converters.harbor.sandboxes import Sandboxes

    sandboxes, places, done = Sandboxes(sandbox), asyncio.Semaphore(jobs), 0
    playable: list[tuple[Checked, HarborTask, Mapping[str, Any]]] = []
    for it in checked:
        try:
            task = read(it.path)
        except SourceError:
            continue
        try:
            playable.append((it, task, sandboxes.environment(task)))
        except SourceError as exc:
            it.findings.append(finding("unplayable", str(exc), "check it where a sandbox can play it"))

    async def play(it: Checked, environment: Mapping[str, Any], agent: str) -> None:
        nonlocal done
        async with places:
            it.runs[agent] = await run(it.path, agent, environment, Path(trials))
        done += 1
        progress(f"{it.name} {agent}", done, 2 * len(playable))

    with tempfile.TemporaryDirectory(prefix="interop-check-", ignore_cleanup_errors=True) as trials:
        async with asyncio.TaskGroup() as group:
            for it, _, environment in playable:
                for agent in ("oracle", "nop"):
                    group.create_task(play(it, environment, agent))
    for it, task, _ in playable:
        it.findings += judge(task, it.runs["oracle"], it.runs["nop"])


async def run(path: Path, agent: str, environment: Mapping[str, Any], trials: Path) -> Run:
    """Play a task once, by harbor's own trial; whatever goes wrong is in the result."""
    from harbor.models.trial.config import AgentConfig, EnvironmentConfig, TaskConfig, TrialConfig
    from harbor.trial.trial import Trial

    began = time.monotonic()
    try:
        config = TrialConfig(
            task=TaskConfig(path=path),
            trials_dir=trials,
            agent=AgentConfig(name=agent),
            environment=EnvironmentConfig(**environment),
        )
        trial = await Trial.create(config)
        result = await trial.run()
    except Exception as exc:  # harbor's refusals are of many types
        return Run(agent=agent, error=f"{type(exc).__name__}: {exc}", seconds=time.monotonic() - began)
    raised = next((it.exception_info for it in (result, *(result.step_results or ())) if it.exception_info), None)
    verified = result.verifier_result
    valid = verified is not None and (raised is None or raised.policy.has_valid_reward)
    return Run(
        agent=agent,
        rewards=verified.rewards if valid else None,
        error=_without(trial.paths.trial_dir, f"{raised.exception_type}: {raised.exception_message}")
        if raised
        else None,
        steps=sum(it.verifier_result is not None for it in result.step_results or ()),
        seconds=time.monotonic() - began,
        log=_log(trial.paths.trial_dir),
    )


def _without(directory: Path, text: str) -> str:
    """A text without a directory that is gone when it is read."""
    return text.replace(f"{directory}/", "").replace(f"{directory.resolve()}/", "")


def _log(directory: Path) -> tuple[str, ...]:
    """The first lines of the last verifier that said something, or else of the solution."""
    for name in ("test-stdout.txt", "oracle.txt"):
        for file in sorted(directory.rglob(name), key=lambda it: it.stat().st_mtime, reverse=True):
            if said := file.read_text(encoding="utf-8", errors="replace").strip():
                return tuple(said.splitlines()[:LOG_LINES])
    return ()
