"""A session on harbor tasks: its thread asks, and the event loop of all trials answers."""

from __future__ import annotations

import asyncio
import random
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any

from converters.harbor import actions
from converters.harbor.actions import Action, State
from converters.harbor.tasks import HarborTask
from converters.harbor.trial import HarborTrial, Turn
from interop.environment import Environment, StepResult
from interop.errors import InvalidAction


class _Loop:
    """A thread with the event loop of all trials of this process; it begins with the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start[T](self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="interop-harbor", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)


_LOOP = _Loop()


class HarborEnvironment(Environment):
    """One session's trials, one after the other."""

    def __init__(
        self,
        splits: Mapping[str, list[HarborTask]],
        trial: Callable[[HarborTask], HarborTrial],
        reward_key: str | None,
    ) -> None:
        self._splits = splits
        self._new_trial = trial
        self._reward_key = reward_key
        self._random = random.Random()
        self._state = State()
        self._trial: HarborTrial | None = None
        self._last: StepResult | None = None
        self._task: HarborTask | None = None
        self._instruction = ""
        self._running: Future[Any] | None = None
        self._interrupted = False

    def reset(
        self,
        /,
        *,
        seed: int | None = None,
        episode_id: str | None = None,
        split: Any = None,
        index: Any = None,
        task_id: Any = None,
        **options: Any,
    ) -> StepResult:
        """Start a task's environment: `index` of `split`, which is the first one that there is, or the name `task_id`.

        Without either the seed chooses: the task `seed` modulo their number; without a seed it is random.
        """
        if options:
            name, value = next(iter(options.items()))
            accepted = "seed, episode_id, split, index, task_id"
            raise _invalid(name, f"there is no such argument; accepted are {accepted}", value)
        if seed is not None:
            self._random = random.Random(seed)
        split, index = self._chosen(split, index, task_id, seed)
        task = self._splits[split][index]
        self._end_trial()
        self._last = None
        self._task = task
        self._state = State(episode_id=episode_id or str(uuid.uuid4()), split=split, index=index, task_id=task.name)
        turn = self._begin(task)
        info = {"task": {"split": split, "index": index, "id": task.name}}
        self._last = self._result(turn, info)
        return StepResult(self._last.observation, None, self._last.done)

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        """Perform an action. After the end the last observation comes again, with the reward 0.0.

        `{"type": "list_tools"}` and `{"type": "call_tool", "tool_name", "arguments"}` are accepted too.
        """
        if action.get("type") == "list_tools":
            return StepResult({"tools": actions.tools()})
        if action.get("type") != "call_tool":
            return self._step(actions.parse(action))
        meant = actions.called(action)
        done = self._step(meant) if meant is not None else self._look()
        seen = {**done.observation, "tool_name": action["tool_name"], "result": _said(done.observation)}
        if done.done:  # a verifier's troubles are not the agent's to see
            seen["error"] = None
        return StepResult(seen, done.reward, done.done)

    def state(self) -> Mapping[str, Any]:
        return self._state.model_dump()

    def close(self) -> None:
        self._end_trial()

    def interrupt(self) -> None:
        self._interrupted = True
        running = self._running
        if running is not None:
            running.cancel()

    # Inside

    def _chosen(self, split: Any, index: Any, task_id: Any, seed: int | None) -> tuple[str, int]:
        splits = self._splits
        if split is not None and split not in splits:
            raise _invalid("split", f"{split!r} is no split; accepted are {', '.join(splits)}", split)
        if task_id is not None:
            if index is not None:
                raise _invalid("task_id", "it is a task already: index has no place beside it", task_id)
            for name in splits if split is None else [split]:
                for number, task in enumerate(splits[name]):
                    if task.name == task_id:
                        return name, number
            raise _invalid("task_id", f"there is no task {task_id!r}", task_id)
        split = next(iter(splits)) if split is None else split
        size = len(splits[split])
        if index is None:
            index = self._random.randrange(size) if seed is None else seed % size
        if type(index) is not int or not 0 <= index < size:
            raise _invalid("index", f"{index!r} is no task of {split!r}; accepted is 0 to {size - 1}", index)
        return split, index

    def _begin(self, task: HarborTask) -> Turn:
        self._trial = self._new_trial(task)
        turn = self._wait(self._trial.begin())
        if turn.done:
            self._trial = None
            raise RuntimeError(f"the environment of {task.name} did not start: {turn.error}")
        return turn

    def _step(self, action: Action) -> StepResult:
        if self._last is None or self._trial is None:
            raise RuntimeError("no task has begun; reset first")
        self._state.step_count += 1
        if self._last.done:
            return StepResult(self._last.observation, None if self._last.reward is None else 0.0, True)
        self._last = self._result(self._wait(self._trial.act(action)), {})
        return self._last

    def _look(self) -> StepResult:
        if self._last is None:
            raise RuntimeError("no task has begun; reset first")
        return StepResult({"instruction": self._instruction}, 0.0, self._last.done)

    def _result(self, turn: Turn, info: Mapping[str, Any]) -> StepResult:
        reward, why = self._reward(turn)
        self._state.step = turn.step
        if turn.instruction is not None:
            self._instruction = turn.instruction
        observation = {
            "metadata": {},
            "instruction": turn.instruction,
            "output": "",
            "stderr": "",
            "exit_code": None,
            "encoding": "utf-8",
            "cut": 0,
            "error": turn.error or why,
            **turn.outcome,
            "step": turn.step,
            "terminated": turn.done and not turn.truncated,
            "truncated": turn.truncated,
            "stop": turn.stop,
            "rewards": turn.rewards,
            "info": {**turn.info, **info},
        }
        return StepResult(observation, reward, turn.done)

    def _reward(self, turn: Turn) -> tuple[float | None, str | None]:
        """The reward of a turn, and why there is none. Rewards of single steps are in harbor's own reward of all."""
        if not turn.done:
            return 0.0, None
        rewards, key = turn.rewards, self._reward_key
        if not rewards or not turn.info.get("reward_valid"):
            return None, None if turn.error else "the verifier has given no reward"
        if key is None:
            key = "reward" if "reward" in rewards else next(iter(rewards)) if len(rewards) == 1 else None
        if key is None or key not in rewards:
            named = "none is named 'reward'" if key is None else f"none is named {key!r}"
            return (
                None,
                f"the verifier has given the rewards {', '.join(rewards)}, and {named}: say which by reward_key",
            )
        return float(rewards[key]), None

    def _end_trial(self) -> None:
        trial, self._trial = self._trial, None
        if trial is not None:
            _LOOP.start(trial.close()).result()  # not to be interrupted: it ends what runs

    def _wait[T](self, work: Coroutine[Any, Any, T]) -> T:
        self._running = running = _LOOP.start(work)
        if self._interrupted:  # before there was something to cancel
            running.cancel()
        try:
            return running.result()
        except CancelledError:
            raise RuntimeError("interrupted: nobody waits for the answer any more") from None
        finally:
            self._running = None


def _said(observation: Mapping[str, Any]) -> str:
    """What an agent reads of an observation."""
    if observation.get("instruction"):
        return str(observation["instruction"])
    parts = [observation["output"], observation["stderr"]]
    if observation["exit_code"]:
        parts.append(f"[exit code {observation['exit_code']}]")
    if observation["terminated"] or observation["truncated"]:
        parts.append("The task is over.")
    return "\n".join(part for part in parts if part)


def _invalid(where: str, message: str, value: Any) -> InvalidAction:
    entry = {"type": "value_error", "loc": [where], "msg": message, "input": value}
    return InvalidAction(f"{where}: {message}", [entry])
