"""Reverse a word: one turn, with everything private that a task can have."""

import verifiers.v1 as vf

__all__ = ["ReverseTaskset"]

WORDS = ("apple", "bridge", "candle", "dragon", "engine", "forest", "garden", "hammer")


class ReverseConfig(vf.TasksetConfig):
    note: str = "private"
    """Stands in every private field."""
    broken: bool = False
    """Whether the grader raises, with the answer in its message."""


class ReverseData(vf.TaskData):
    answer: str
    info: dict
    broken: bool


class ReverseTask(vf.Task[ReverseData]):
    @vf.stop
    async def answered(self, trace: vf.Trace) -> bool:
        return trace.num_turns >= 1

    @vf.reward(weight=2.0)
    async def right(self, trace: vf.Trace) -> float:
        if self.data.broken:
            raise ValueError(f"cannot grade against {self.data.answer} ({self.data.info})")
        same = sum(a == b for a, b in zip(trace.last_reply, self.data.answer, strict=False))
        return same / len(self.data.answer)

    @vf.metric
    async def length(self, trace: vf.Trace) -> float:
        return float(len(trace.last_reply))


class ReverseTaskset(vf.Taskset[ReverseTask, ReverseConfig]):
    def load(self):
        for at, word in enumerate(WORDS):
            data = ReverseData(
                idx=at,
                name=word,
                description=self.config.note,
                prompt=f"Reverse: {word}",
                system_prompt="Say the word backwards, and nothing else.",
                answer=word[::-1],
                info={"note": self.config.note},
                broken=self.config.broken,
            )
            yield ReverseTask(data, self.config.task)
