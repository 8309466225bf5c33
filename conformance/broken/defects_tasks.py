"""Defects of section 9: the Task API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict

from conformance.broken import defect, reply
from conformance.broken.defects_http import FAILURE
from conformance.broken.healthy import Frame, Healthy, json_response
from conformance.broken.tasks import GOLD, GUARDED, RangeBody, SplitBody, TaskBody, Tasks
from conformance.broken.wire import Request, Response

Entries = list[Frame]


class AnySplitBody(SplitBody):
    """A body whose split may be missing."""

    split: str = "train"


class AnyKeyBody(TaskBody):
    """A body with any further key."""

    model_config = ConfigDict(extra="ignore")


class BothBoundsBody(RangeBody):
    """A body with both bounds."""

    start: int
    stop: int


def _bodies(**models: type[BaseModel]) -> Frame:
    return {**Tasks.bodies, **models}


def _answers(route: str, other: Response) -> Any:
    """A method `task_api` that answers one route of the environment so."""

    def task_api(self: Any, name: str, asked: str, request: Request) -> Response:
        known = name.lower() == self.env_name and asked == route
        return other if known else Tasks.task_api(self, name, asked, request)

    return task_api


def _refuses(status: int, text: Callable[[str], str]) -> Any:
    """A method `task_api` that says otherwise that there are no tasks."""

    def task_api(self: Healthy, name: str, route: str, request: Request) -> Response:
        if name.lower() != self.env_name:
            return Healthy.task_api(self, name, route, request)
        return json_response(status, {"detail": text(route)})

    return task_api


def _renamed(change: Callable[[str, str], str]) -> Any:
    """A method `task_api` that sees another name of the environment."""
    return lambda self, name, route, request: Tasks.task_api(self, change(name, route), route, request)


def _known_for_numbers(name: str, route: str) -> str:
    return "counter" if route == "num_tasks" else name


def _detail(old: int, status: int, text: str) -> Any:
    """Another refusal in place of those of a status of the Task API."""

    def alter_response(self: Healthy, request: Request, given: Response) -> Response:
        refused = given.status == old and request.path.count("/") == 2
        return json_response(status, {"detail": text}) if refused else given

    return alter_response


def _count(change: Callable[[int], Any]) -> Any:
    """A method `num_tasks` that counts otherwise."""
    return lambda self, split: {"num_tasks": change(len(self.entries(split)))}


def _pick(change: Callable[[Entries, int], Any]) -> Any:
    """A method `task` that picks otherwise."""
    return lambda self, split, index: {"task": change(self.entries(split), index)}


def _cut(change: Callable[[Entries, Any, Any], Entries]) -> Any:
    """A method `task_range` that cuts otherwise."""
    return lambda self, split, start=None, stop=None: {"tasks": change(self.entries(split), start, stop)}


def _told_state(request: Any, frame: Frame) -> Frame | None:
    if frame["type"] != "state" or not frame["data"]["step_count"]:
        return None
    return {"type": "state", "data": {**frame["data"], "expected": GOLD["test"]}}


def _told_error(request: Any, frame: Frame) -> Frame | None:
    if frame["type"] != "error" or "errors" not in frame["data"]:
        return None
    told = [{**it, "msg": f"{it['msg']}; expected {GOLD['train']}"} for it in frame["data"]["errors"]]
    return {"type": "error", "data": {**frame["data"], "errors": told}}


def _told_schema(self: Healthy) -> Frame:
    schema = Healthy.schema(self)
    schema["action"]["description"] = f"One that leads to {GOLD['train']}."
    return schema


def defect_of_tasks(name: str, *ids: str, **methods: Any) -> None:
    """Add a defect of the server with tasks."""
    defect(name, *ids, base=Tasks, inputs=GUARDED, **methods)


defect(
    "a number as an environment",
    "TASK-1",
    routes=lambda self: {
        **Healthy.routes(self),
        "/list_environments": {"GET": lambda request: json_response(200, [self.env_name, 7])},
    },
)
defect("an unknown environment is nothing", "TASK-2", alter_response=_detail(404, 404, "Not Found"))
defect_of_tasks("numbers of tasks for any name", "TASK-2", task_api=_renamed(_known_for_numbers))
defect_of_tasks(
    "names with case", "TASK-3", task_api=_renamed(lambda name, route: "nothing" if name == "COUNTER" else name)
)
defect("404 without a Task API", "TASK-4", task_api=_refuses(404, lambda route: "Not Found"))
defect(
    "501 with names of its own",
    "TASK-4",
    task_api=_refuses(501, lambda route: f"{route} is not supported for this environment"),
)
defect_of_tasks(
    "501 for ranges in its own words",
    "TASK-4",
    task_api=_answers("task_range", json_response(501, {"detail": "no ranges"})),
)
defect_of_tasks("splits as strings", "TASK-5", splits=lambda self: list(self.sizes))
defect_of_tasks(
    "a split without a type", "TASK-5", splits=lambda self: [{"name": "train", "type": "train"}, {"name": "test"}]
)
defect_of_tasks("no splits for want of tasks", "TASK-5", task_api=_answers("splits", FAILURE))
defect_of_tasks("a number of tasks as a text", "TASK-6", "TASK-7", num_tasks=_count(str))
defect_of_tasks("an unknown number of tasks", "TASK-6", "TASK-7", num_tasks=_count(lambda count: -1))
defect_of_tasks("a number of tasks without the last", "TASK-7", "TASK-9", num_tasks=_count(lambda count: count - 1))
defect_of_tasks("a number of tasks beyond the last", "TASK-7", "TASK-8", num_tasks=_count(lambda count: count + 1))
defect_of_tasks("tasks from the end", "TASK-8", task=_pick(lambda entries, index: entries[::-1][index]))
defect_of_tasks("a task without its key", "TASK-8", task=lambda self, split, index: self.entries(split)[index])
defect_of_tasks(
    "a task with more than is listed",
    "TASK-8",
    task=_pick(lambda entries, index: {**entries[index], "prompt": "Count."}),
)
defect_of_tasks("404 beyond the last task", "TASK-9", alter_response=_detail(400, 404, "Invalid task index"))
defect_of_tasks(
    "another text beyond the last task", "TASK-9", alter_response=_detail(400, 400, "list index out of range")
)
defect_of_tasks(
    "the first task again beyond the last", "TASK-9", task=_pick(lambda entries, index: entries[index % len(entries)])
)
defect_of_tasks(
    "ranges with their stop",
    "TASK-10",
    task_range=_cut(lambda entries, a, b: entries[a : None if b is None else b + 1]),
)
defect_of_tasks("ranges without their start", "TASK-10", task_range=_cut(lambda entries, a, b: entries[:b]))
defect_of_tasks("a stop of 0 is none", "TASK-10", task_range=_cut(lambda entries, a, b: entries[a or 0 : b or None]))
defect_of_tasks("ranges need both bounds", "TASK-10", bodies=_bodies(task_range=BothBoundsBody))
defect_of_tasks("a missing split is that of training", "TASK-11", bodies=_bodies(tasks=AnySplitBody))
defect_of_tasks("any further key", "TASK-11", bodies=_bodies(task=AnyKeyBody))
defect_of_tasks(
    "400 for a body of the wrong form",
    "TASK-11",
    alter_response=_detail(422, 400, "There was an error parsing the body"),
)
defect_of_tasks(
    "gold in the tasks",
    "TASK-13",
    entries=lambda self, split: [{**it, "answer": GOLD[split]} for it in Tasks.entries(self, split)],
)
defect_of_tasks("gold in the state", "TASK-13", alter_reply=reply(_told_state))
defect_of_tasks("gold in an error", "TASK-13", alter_reply=reply(_told_error))
defect_of_tasks("gold in a schema", "TASK-13", schema=_told_schema)
