"""One trial of harbor as an episode: harbor's own `Trial` runs, and its agent waits for the actions of a policy.

Everything here runs in one event loop. harbor decides what is graded, how and when.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harbor.agents.base import BaseAgent
from harbor.agents.capabilities import AgentCapabilities
from harbor.environments.base import BaseEnvironment
from harbor.models.agent.context import AgentContext
from harbor.models.trial.config import AgentConfig, EnvironmentConfig, TaskConfig, TrialConfig
from harbor.models.trial.result import ExceptionInfo, StepResult, TrialResult
from harbor.trial.trial import Trial

from converters.harbor.actions import Action, Submit
from converters.harbor.perform import perform
from converters.harbor.trajectory import Log

TIMEOUT = "AgentTimeoutError"
"""harbor's exception of an agent whose time has run out; what it has done is graded."""
_trials: dict[str, HarborTrial] = {}


@dataclass
class Turn:
    """What the policy is told.

    Attributes:
        instruction: What there is to do, where a step of the task begins.
        outcome: Of the action: fields of the observation.
        step: The step of a task that has several.
        rewards: The verifier's, of the step that has just been graded; of the whole task at the end.
        done: Whether the trial is over.
        truncated: Whether the agent's time has run out.
        stop: What ended it.
        error: What went wrong.
        info: More about it.
    """

    instruction: str | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)
    step: str | None = None
    rewards: Mapping[str, float] | None = None
    done: bool = False
    truncated: bool = False
    stop: str | None = None
    error: str | None = None
    info: Mapping[str, Any] = field(default_factory=dict)


class PolicyAgent(BaseAgent):
    """harbor's agent is whoever steps the session."""

    capabilities = AgentCapabilities(mcp_servers=True, skills=True)  # they are told to the policy

    def __init__(self, logs_dir: Path, trial: str, **more: Any) -> None:
        super().__init__(logs_dir=logs_dir, **more)
        self._trial = _trials[trial]

    @staticmethod
    def name() -> str:
        return "openenv-interop"

    def version(self) -> str:
        return "1"

    async def setup(self, environment: BaseEnvironment) -> None:
        """There is nothing to set up."""

    async def run(self, instruction: str, environment: BaseEnvironment, context: AgentContext) -> None:
        """Perform actions until one is `submit`, or until harbor's time limit cancels it."""
        log = Log(instruction, self.name(), self.version())
        info: dict[str, Any] = {
            "sandbox": str(getattr(kind := environment.type(), "value", kind)),  # harbor's own are members of an enum
            "mcp_servers": [server.model_dump(exclude_none=True) for server in self.mcp_servers],
        }
        if self.skills_dir is not None:
            info["skills_dir"] = self.skills_dir
        self._trial.began(instruction, info)
        try:
            while True:
                action, answer = await self._trial.next_action()
                if isinstance(action, Submit):
                    log.submitted()
                    return
                outcome = await perform(environment, action)
                log.did(action, outcome)
                if not answer.done():
                    answer.set_result(outcome)
        finally:
            log.write(self.logs_dir)
            context.metadata = {"actions": log.actions}


class HarborTrial:
    """One trial, from `begin` until the turn that is `done`, or `close`.

    Args:
        task: The task's directory.
        trials: Where harbor writes the trial's own directory.
        environment: harbor's name or import path of the sandbox, and its arguments.
        agent_timeout: Seconds that the agent has, instead of what the task says.
        keep: Whether the trial's directory stays when it is closed.
    """

    def __init__(
        self,
        task: Path,
        trials: Path,
        environment: Mapping[str, Any],
        *,
        agent_timeout: float | None = None,
        keep: bool = True,
    ) -> None:
        self._id = uuid.uuid4().hex
        self._keep = keep
        self._config = TrialConfig(
            task=TaskConfig(path=task),
            trials_dir=trials,
            agent=AgentConfig(
                import_path=PolicyAgent.import_path(), kwargs={"trial": self._id}, override_timeout_sec=agent_timeout
            ),
            environment=EnvironmentConfig(**environment),
        )
        self._actions: asyncio.Queue[tuple[Action, asyncio.Future[Mapping[str, Any]]]] = asyncio.Queue()
        self._turns: asyncio.Queue[Turn] = asyncio.Queue()
        self._trial: Trial | None = None
        self._running: asyncio.Task[TrialResult] | None = None
        self._submitted = False

    async def begin(self) -> Turn:
        """Start the task's environment: the first turn. Raises what keeps harbor from trying."""
        _trials[self._id] = self
        try:
            self._trial = await Trial.create(self._config)
            self._running = asyncio.create_task(self._trial.run())
        finally:
            if self._running is None:
                _trials.pop(self._id, None)
        self._running.add_done_callback(self._ended)
        return await self._turns.get()

    async def act(self, action: Action) -> Turn:
        """Perform an action.

        The next turn comes in its place where the agent's time has run out before it, or while it was performed.
        """
        if not self._turns.empty():
            turn = self._turns.get_nowait()
            turn.error = turn.error or f"the agent's time ran out before this {action.type}, which was not performed"
            return turn
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._submitted = isinstance(action, Submit)
        self._actions.put_nowait((action, answer))
        turn_comes: asyncio.Future[Any] = asyncio.ensure_future(self._turns.get())
        try:
            await asyncio.wait([answer, turn_comes], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not turn_comes.done():
                turn_comes.cancel()
        if answer.done():
            if turn_comes.done() and not turn_comes.cancelled():  # both at once: the turn is for the next action
                self._turns.put_nowait(turn_comes.result())
            return Turn(outcome=answer.result(), step=self._step)
        turn = turn_comes.result()
        if not self._submitted:
            turn.error = turn.error or f"the agent's time ran out during this {action.type}, which was ended"
        return turn

    async def close(self) -> None:
        """End the trial, and wait until harbor has stopped its sandbox."""
        _trials.pop(self._id, None)
        if self._running is not None and not self._running.done():
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        if self._trial is not None and not self._keep:
            await asyncio.to_thread(shutil.rmtree, self._trial.paths.trial_dir, ignore_errors=True)

    # What the agent asks

    def began(self, instruction: str, info: Mapping[str, Any]) -> None:
        """A step of the task begins."""
        while not self._actions.empty():  # an action that came as the time of the step before ran out
            self._actions.get_nowait()
        graded = self._steps[:-1]
        last = graded[-1] if graded else None
        self._turns.put_nowait(
            Turn(
                instruction=instruction,
                step=self._step,
                rewards=_rewards(last),
                error=_error(last.exception_info) if last is not None else None,
                info={**info, **({"steps": [_graded(step) for step in graded]} if graded else {})},
            )
        )

    async def next_action(self) -> tuple[Action, asyncio.Future[Mapping[str, Any]]]:
        """The policy's next action, and where its outcome goes."""
        return await self._actions.get()

    # The end

    def _ended(self, running: asyncio.Task[TrialResult]) -> None:
        _trials.pop(self._id, None)
        if running.cancelled():
            self._turns.put_nowait(Turn(done=True, stop="failed", error="the trial was cancelled"))
        elif (failure := running.exception()) is not None:
            self._turns.put_nowait(Turn(done=True, stop="failed", error=f"{type(failure).__name__}: {failure}"))
        else:
            self._turns.put_nowait(self._last_turn(running.result()))

    def _last_turn(self, result: TrialResult) -> Turn:
        steps = self._steps
        failure = result.exception_info or (steps[-1].exception_info if steps else None)
        truncated = failure is not None and failure.exception_type == TIMEOUT
        stop = "agent_timeout" if truncated else "submitted" if failure is None else "failed"
        assert self._trial is not None
        if failure is None and len(steps) < len(self._trial.task.config.steps or []):
            stop = "min_reward"
        return Turn(
            step=self._step,
            rewards=_rewards(result),
            done=True,
            truncated=truncated,
            stop=stop,
            error=None if truncated else _error(failure),
            info={
                "trial": result.trial_name,
                "reward_valid": result.reward_valid,
                **({"steps": [_graded(step) for step in steps]} if steps else {}),
            },
        )

    @property
    def _steps(self) -> list[StepResult]:
        assert self._trial is not None
        return list(self._trial.result.step_results or [])

    @property
    def _step(self) -> str | None:
        steps = self._steps
        return steps[-1].step_name if steps else None


def _rewards(result: TrialResult | StepResult | None) -> dict[str, float] | None:
    verdict = result.verifier_result if result is not None else None
    return dict(verdict.rewards) if verdict is not None and verdict.rewards is not None else None


def _graded(step: StepResult) -> dict[str, Any]:
    return {"step": step.step_name, "rewards": _rewards(step), "error": _error(step.exception_info)}


def _error(failure: ExceptionInfo | None) -> str | None:
    return f"{failure.exception_type}: {failure.exception_message}" if failure is not None else None
