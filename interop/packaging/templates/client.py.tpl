"""The client of $title: an official `EnvClient` of this environment's models."""

from typing import Any

from openenv.core import EnvClient
from openenv.core.client_types import StepResult

from .models import ${prefix}Action, ${prefix}Observation, ${prefix}State


class ${prefix}Env(EnvClient[${prefix}Action, ${prefix}Observation, ${prefix}State]):
    """One session: `with ${prefix}Env(base_url="http://127.0.0.1:8000").sync() as env:`."""

    def _step_payload(self, action: ${prefix}Action) -> dict[str, Any]:
        return action.model_dump(mode="json", exclude_unset=True, by_alias=True)

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[${prefix}Observation]:
        facts = {"reward": payload.get("reward"), "done": payload.get("done", False)}
        observation = ${prefix}Observation.model_validate({**payload["observation"], **facts})
        return StepResult(observation=observation, metadata=payload.get("metadata"), **facts)

    def _parse_state(self, payload: dict[str, Any]) -> ${prefix}State:
        return ${prefix}State.model_validate(payload)
