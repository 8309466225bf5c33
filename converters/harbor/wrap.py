"""`harbor:` sources: each task an episode, whose actions a policy takes and whose reward harbor's verifier gives."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.harbor import actions
from converters.harbor.actions import Observation, State
from converters.harbor.image import TaskImage, task_image
from converters.harbor.needs import require_harbor
from converters.harbor.sandboxes import SANDBOXES, Sandboxes
from converters.harbor.tasks import HarborTask, load
from interop.environment import Description, Environment, Source, Tasks
from interop.errors import SourceError

if TYPE_CHECKING:
    from converters.harbor.trial import HarborTrial


def wrap(
    target: str,
    how: Mapping[str, Any] | None = None,
    /,
    *,
    dataset: str | None = None,
    reward_key: str | None = None,
    trials: str | None = None,
    agent_timeout: str | None = None,
    network: str | None = None,
    rootfs: str | None = None,
) -> Source:
    """The source of harbor tasks.

    Args:
        target: The directory of a task, a directory of such directories, or a registry file.
        how: `sandbox`: namespace, docker, inplace or auto, which takes the first that can play the task.
        dataset: `NAME` or `NAME@VERSION` of a registry; all of them by default.
        reward_key: Which of the verifier's rewards is the reward, where there are several and none is named `reward`.
        trials: A directory for harbor's own directories of trials, which `harbor view` opens; none are kept by default.
        agent_timeout: Seconds that the agent has, instead of what the task says.
        network: `public` lets the namespace sandbox out also where a task does not ask for it.
        rootfs: A directory that the namespace sandbox takes for its root, instead of the machine's /usr.

    Raises:
        SourceError: harbor is missing or too old, there is no such task, or one cannot be read.
    """
    require_harbor()
    how = dict(how or {})
    sandbox = how.pop("sandbox", "auto")
    if how or sandbox not in SANDBOXES:
        what = f"{', '.join(how)} has no place" if how else f"there is no sandbox {sandbox!r}"
        raise SourceError(f"harbor:{target}: {what}; accepted is a sandbox: {', '.join(SANDBOXES)}")
    if network not in (None, "public"):
        raise SourceError(f"harbor:{target}: network is {network!r}; accepted is public")
    return HarborSource(
        target,
        load(target, dataset),
        Sandboxes(sandbox, network=network, rootfs=rootfs),
        reward_key=reward_key,
        trials=Path(trials) if trials is not None else None,
        agent_timeout=_seconds(target, agent_timeout),
    )


def _seconds(target: str, text: str | None) -> float | None:
    try:
        seconds = None if text is None else float(text)
    except ValueError:
        seconds = 0.0
    if seconds is not None and not 0 < seconds < 1e9:
        raise SourceError(f"harbor:{target}: agent_timeout is {text!r}; accepted is a number of seconds above 0")
    return seconds


@dataclass
class HarborSource(Source):
    """Tasks, by split."""

    target: str
    splits: Mapping[str, list[HarborTask]]
    sandboxes: Sandboxes
    reward_key: str | None = None
    trials: Path | None = None
    agent_timeout: float | None = None
    _kept: Path | None = field(default=None, init=False, repr=False)

    def describe(self) -> Description:
        every = [task for tasks in self.splits.values() for task in tasks]
        name = every[0].name if len(every) == 1 else Path(self.target).resolve().stem
        about = {
            "splits": {split: len(tasks) for split, tasks in self.splits.items()},
            "sandbox": self.sandboxes.wanted,
            "reward_key": self.reward_key,
        }
        return Description(
            name=name,
            env_name="harbor",
            description=f"{name}: {len(every)} task{'s' if len(every) > 1 else ''} of harbor, done by shell commands.",
            action=actions.schema(),
            observation=Observation.model_json_schema(),
            state=State.model_json_schema(),
            extensions={"harbor": about},
            max_sessions=1 if self.sandboxes.wanted == "inplace" else None,
            own_tools=True,
        )

    def create(self) -> Environment:
        from converters.harbor.environment import HarborEnvironment  # harbor takes a second to import

        return HarborEnvironment(self.splits, self._trial, self.reward_key)

    def tasks(self) -> Tasks:
        return _Tasks(self.splits)

    def own_image(self) -> TaskImage:
        """What an image of the source begins with. Raises `SourceError` where no image can play it."""
        arguments = {
            "reward_key": self.reward_key,
            "agent_timeout": self.agent_timeout,
            "trials": self.trials,
            "network": self.sandboxes.network,
            "rootfs": self.sandboxes.rootfs,
        }
        return task_image(self.target, self.splits, arguments)

    def _trial(self, task: HarborTask) -> HarborTrial:
        from converters.harbor.trial import HarborTrial

        environment = self.sandboxes.environment(task)
        keep = self.trials is not None
        return HarborTrial(task.path, self._directory(), environment, agent_timeout=self.agent_timeout, keep=keep)

    def _directory(self) -> Path:
        """Where harbor writes the directories of trials."""
        if self.trials is not None:
            return self.trials
        if self._kept is None:
            self._kept = Path(tempfile.mkdtemp(prefix="interop-harbor-"))
        return self._kept

    def close(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            shutil.rmtree(kept, ignore_errors=True)


class _Tasks(Tasks):
    def __init__(self, splits: Mapping[str, list[HarborTask]]) -> None:
        self._splits = splits

    def splits(self) -> list[Any]:
        return list(self._splits)

    def tasks(self, split: str) -> list[Any]:
        return self.task_range(split, None, None)

    def num_tasks(self, split: str) -> int:
        return len(self._splits.get(split, ()))

    def task(self, split: str, index: int) -> Any:
        if not 0 <= index < self.num_tasks(split):
            raise IndexError(index)
        return self._public(split, index)

    def task_range(self, split: str, start: int | None, stop: int | None) -> list[Any]:
        return [self._public(split, index) for index in range(*slice(start, stop).indices(self.num_tasks(split)))]

    def _public(self, split: str, index: int) -> dict[str, Any]:
        return {"split": split, "index": index, **self._splits[split][index].public()}
