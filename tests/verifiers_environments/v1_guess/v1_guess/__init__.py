"""Guess a number: the environment is the user, and answers each guess."""

import asyncio
from pathlib import Path

import verifiers.v1 as vf

__all__ = ["GuessEnv", "GuessTaskset"]


class GuessConfig(vf.EnvConfig):
    agent: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"}, timeout={"rollout": 0.5})
    left: str = ""
    """A file that gets a line when an episode is left, however it ends, and when it waits."""


class GuessData(vf.TaskData):
    number: int


class GuessTask(vf.Task[GuessData]):
    @vf.reward
    async def early(self, trace: vf.Trace) -> float:
        return 1.0 / trace.num_turns if trace.last_reply == str(self.data.number) else 0.0


class GuessEnv(vf.Env[GuessConfig]):
    async def run(self, task, agents):
        try:
            async with agents.agent.interaction(task) as talk:
                segment = await talk.turn()
                while not segment.terminated and segment.last_reply != str(task.data.number):
                    if segment.last_reply == "wait":
                        self._note("waits")
                        await asyncio.Event().wait()
                    if not segment.last_reply.isdigit():
                        raise ValueError(f"{segment.last_reply!r} is no number; it is {task.data.number}")
                    low = int(segment.last_reply) < task.data.number
                    segment = await talk.turn("higher" if low else "lower")
        finally:
            self._note("left")

    def _note(self, what):
        if self.config.left:
            with Path(self.config.left).open("a") as file:
                file.write(f"{what}\n")


class GuessTaskset(vf.Taskset[GuessTask, vf.TasksetConfig]):
    def load(self):
        for at in range(5):
            yield GuessTask(GuessData(idx=at, prompt="Guess my number, 0 to 99.", number=(37 * at + 11) % 100))
