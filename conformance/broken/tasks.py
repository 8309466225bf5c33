"""The healthy counter with tasks: a Task API over two splits, whose gold answers stay private."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from conformance.broken import COUNTER
from conformance.broken.healthy import Frame, Healthy, json_response
from conformance.broken.wire import Request, Response

GOLD = {"train": 'the "gold" of training', "test": "das Gold für den Test"}
"""The private field of each split's tasks."""
GUARDED = replace(COUNTER, private=tuple(GOLD.values()))
"""What a run is given about the counter with tasks."""


class SplitBody(BaseModel):
    """Body of `tasks` and `num_tasks`."""

    model_config = ConfigDict(extra="forbid")

    split: str


class TaskBody(SplitBody):
    """Body of `task`."""

    index: int


class RangeBody(SplitBody):
    """Body of `task_range`."""

    start: int | None = None
    stop: int | None = None


class Tasks(Healthy):
    """The server with a Task API."""

    sizes: ClassVar = {"train": 3, "test": 10}
    bodies: ClassVar[dict[str, type[BaseModel]]] = {
        "tasks": SplitBody,
        "num_tasks": SplitBody,
        "task": TaskBody,
        "task_range": RangeBody,
    }

    def task_api(self, name: str, route: str, request: Request) -> Response:
        """Answer a route of the Task API."""
        if name.lower() != self.env_name:
            return super().task_api(name, route, request)
        body = {} if route == "splits" else self.validated_body(self.bodies[route], request)
        try:
            return json_response(200, getattr(self, route)(**body))
        except IndexError:
            return json_response(400, {"detail": "Invalid task index"})

    def entries(self, split: str) -> list[Frame]:
        """What clients may see of the tasks of a split."""
        return [{"id": f"{split}-{index}", "start": index} for index in range(self.sizes[split])]

    def splits(self) -> Any:
        """The splits."""
        return [{"name": split, "type": split} for split in self.sizes]

    def tasks(self, split: str) -> Frame:
        """All tasks of a split."""
        return {"tasks": self.entries(split), "env_name": self.env_name}

    def num_tasks(self, split: str) -> Frame:
        """How many they are."""
        return {"num_tasks": len(self.entries(split))}

    def task(self, split: str, index: int) -> Frame:
        """One of them. Raises `IndexError`."""
        return {"task": self.entries(split)[index]}

    def task_range(self, split: str, start: int | None = None, stop: int | None = None) -> Frame:
        """Some of them."""
        return {"tasks": self.entries(split)[start:stop]}
