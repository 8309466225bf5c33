"""Write a word into a notebook and read it: one MCP server for all rollouts, each with a page of its own."""

import verifiers.v1 as vf

from v1_notebook.server import NotebookState, NotebookToolset

__all__ = ["NotebookTaskset"]

WORDS = tuple(f"word{at}" for at in range(64))


class NotebookConfig(vf.TasksetConfig):
    tools: vf.SharedToolsetConfig = vf.SharedToolsetConfig()


class NotebookData(vf.TaskData):
    word: str


class NotebookTask(vf.Task[NotebookData, NotebookState]):
    @vf.reward
    async def read(self, trace: vf.Trace) -> float:
        return float(trace.last_reply == self.data.word)

    @vf.metric
    async def results(self, trace: vf.Trace) -> float:
        return float(len(trace.tool_messages))


class NotebookTaskset(vf.Taskset[NotebookTask, NotebookConfig]):
    @classmethod
    def toolsets(cls, config: NotebookConfig):
        return [NotebookToolset(config.tools)]

    def load(self):
        for at, word in enumerate(WORDS):
            data = NotebookData(idx=at, id=f"page-{at}", word=word, prompt=f"Write {word}, read it and say it.")
            yield NotebookTask(data, self.config.task)
