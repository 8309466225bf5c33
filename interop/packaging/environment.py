"""The environment class of a package, for tools that build environments themselves: an official `Environment`."""

from __future__ import annotations

from typing import Any, ClassVar

from openenv.core.env_server.interfaces import ActT, ObsT, StateT
from openenv.core.env_server.interfaces import Environment as Official
from openenv.core.env_server.types import EnvironmentMetadata
from pydantic_core import from_json, to_json

from interop.environment import RawJSON, StepResult
from interop.packaging.application import Application


class PackagedEnvironment(Official[ActT, ObsT, StateT]):  # type: ignore[misc]
    """One environment of a source. It needs no arguments.

    Attributes:
        SERVES: What the package serves.
        OBSERVATION: The model of its observations.
        STATE: The model of its state.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    SERVES: ClassVar[Application]
    OBSERVATION: ClassVar[type[Any]]
    STATE: ClassVar[type[Any]]

    def __init__(self) -> None:
        super().__init__()
        self._source = self.SERVES.source()
        self._environment = self._source.create()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **options: Any) -> Any:
        """Begin an episode; further arguments go to the environment."""
        given = {"seed": seed, "episode_id": episode_id, **options}
        told = {key: value for key, value in given.items() if value is not None}
        return self._observation(self._environment.reset(**self._environment.native_options(told)))

    def step(self, action: Any, timeout_s: float | None = None, **options: Any) -> Any:
        """Advance the episode by an action of the package's model."""
        data = action.model_dump(mode="json", exclude_unset=True, by_alias=True)
        return self._observation(self._environment.step(self._environment.native_action(data)))

    @property
    def state(self) -> Any:
        """Where the episode stands."""
        return self.STATE.model_validate(_json(self._environment.plain_state(self._environment.state())))

    def get_metadata(self) -> EnvironmentMetadata:
        """What the source says of itself."""
        return EnvironmentMetadata(**self._source.describe().metadata())

    def close(self) -> None:
        """Release the environment."""
        try:
            self._environment.close()
        finally:
            self._source.close()

    def _observation(self, result: StepResult) -> Any:
        plain = self._environment.plain(result)
        facts = {"reward": plain.reward, "done": bool(plain.done)}
        return self.OBSERVATION.model_validate({**_json(plain.observation), **facts})


def _json(value: Any) -> Any:
    """What a client would read."""
    return from_json(value.text if isinstance(value, RawJSON) else to_json(value, inf_nan_mode="null"))
