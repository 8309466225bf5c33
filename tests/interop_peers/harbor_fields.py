"""Prints as JSON what harbor says of its own: the fields of task.toml, and how it reads the tasks of a directory."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

from harbor.models.task.config import TaskConfig
from harbor.models.task.task import Task
from pydantic import BaseModel


def models(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation, such as `list[str | ArtifactConfig]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models(part)]


def fields(model: type[BaseModel]) -> dict[str, Any]:
    """Whether each field is required, and the fields of the tables in it."""
    found = {}
    for name, field in model.model_fields.items():
        inner = [fields(it) for it in models(field.annotation)]
        found[name] = {"required": field.is_required(), "fields": inner[0] if inner else None}
    return found


def read(path: Path) -> dict[str, Any]:
    """A task as harbor reads it."""
    task = Task(path)
    steps = [step.name for step in task.config.steps or ()]
    instruction = task.step_instruction(steps[0]) if steps else task.instruction
    return {"name": task.name, "steps": steps, "instruction": instruction}


tasks = {file.parent.name: read(file.parent) for file in Path(sys.argv[1]).glob("*/task.toml")}
print(json.dumps({"fields": fields(TaskConfig), "tasks": tasks}))
