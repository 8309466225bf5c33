"""What the official package makes of packages: `python official_packages.py DIRECTORY [URL]`, with a peer's Python.

The directory of the package is named as the package is. Prints one JSON object: the `verdict` and the `checks` of
`openenv validate` (RFC 008), its runtime graders too, whose provider starts the server as a process instead of a
container; the `warnings` of `openenv push`; and an episode each of the environment `class`, of `AutoEnv`'s `client` and
of the package's own, typed ones.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from openenv.auto._discovery import _create_env_info_from_package
from openenv.cli._cli_utils import validate_env_structure
from openenv.validation import ProviderCapability, run_validation
from openenv.validation.providers import ExecResult

ACTIONS = [0, 1, 1, 0, 1]


class Process:
    """The package's server, as `from_env(use_docker=False)` starts it."""

    def __init__(self, root: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "server.app:app", "--port", str(port), "--workers", "1"],
            cwd=root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # the validator wants the source as it was
        )
        deadline = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.base_url}/health").close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the package's server did not start")

    def inspect(self) -> dict[str, Any]:
        return {}

    def logs(self, max_bytes: int = 65536) -> str:
        return ""

    def exec(self, argv: list[str], timeout_s: float) -> ExecResult:
        return ExecResult(0, "", "", 0.0)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


class Provider:
    """Starts packages as processes."""

    name = "process"
    capabilities = frozenset({ProviderCapability.IMAGE_BUILD, ProviderCapability.EXEC})
    supported_network_modes = frozenset({"public"})

    def build(self, root: Path, execution: Any) -> str:
        self._root = root
        return f"sha256:{0:064}"

    def start(self, spec: Any) -> Process:
        return Process(self._root)


def validated(root: Path) -> dict[str, Any]:
    report = run_validation(root, provider=Provider())
    checks = {it.check_id: [str(it.status.value), *it.evidence] for it in report.results}
    return {"verdict": str(report.verdict.value), "checks": checks}


def episode(env: Any, action: Any) -> list[Any]:
    """An episode of an environment or a client, as JSON."""
    results = [env.reset(seed=7), *(env.step(action(action=it)) for it in ACTIONS)]
    seen = [getattr(it, "observation", it) for it in results]
    state = env.state() if callable(env.state) else env.state
    return [it.model_dump(mode="json", exclude_unset=True) for it in [*seen, state]]


def main() -> None:
    root = Path(sys.argv[1])
    sys.path.insert(0, str(root.parent))
    sys.dont_write_bytecode = True
    said: dict[str, Any] = {**validated(root), "warnings": validate_env_structure(root)}
    info = _create_env_info_from_package(f"openenv-{root.name.replace('_', '-')}", root.name, "0.1.0")
    assert info is not None
    models = importlib.import_module(f"{root.name}.models")
    action = getattr(models, info.action_class_name)
    module = importlib.import_module(f"{root.name}.server.{root.name}_environment")
    environment = getattr(module, info.client_class_name.removesuffix("Env") + "Environment")()
    said["class"] = episode(environment, action)
    said["metadata"] = environment.get_metadata().name
    environment.close()
    server = Process(root)
    try:
        client = getattr(importlib.import_module(info.client_module_path), info.client_class_name)
        with client(base_url=server.base_url).sync() as env:
            said["client"] = episode(env, action)
    finally:
        server.stop()
    print(json.dumps(said))


if __name__ == "__main__":
    main()
