"""`gym.make("interop:OpenEnv-v0", url=...)`, whichever of the two packages was imported first.

Gymnasium imports the module before the colon and then looks the id up. If this package was imported before Gymnasium,
that import does nothing, so the id has to be there by the time Gymnasium is.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing and importlib.abc would cost more than all the rest
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

ID = "OpenEnv-v0"


def register_with_gymnasium() -> None:
    """Register the id now if Gymnasium is imported, else as soon as it is. Does not import it."""
    if "gymnasium.envs.registration" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _AfterGymnasium())


def _register() -> None:
    from gymnasium.envs.registration import register, registry

    if ID not in registry:
        register(
            ID,
            entry_point="converters.gymnasium.expose:OpenEnvEnv",
            vector_entry_point="converters.gymnasium.vector:OpenEnvVectorEnv",
            # The server's environment keeps the order of calls and the time limit.
            disable_env_checker=True,
            order_enforce=False,
        )


class _AfterGymnasium:
    """Finds `gymnasium` as anyone would, and registers the id when its import is done."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gymnasium":
            return None
        # It stays until the import: others ask whether Gymnasium is installed and do not import it.
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Registering(spec.loader, self)  # type: ignore[assignment]
                return spec
        return None


class _Registering:
    def __init__(self, loader: Any, finder: _AfterGymnasium) -> None:
        self._loader = loader
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        _register()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
