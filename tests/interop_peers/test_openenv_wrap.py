"""`openenv:` sources: classes, applications, and packages that `openenv init` makes."""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from converters.openenv.wrap import wrap
from interop.errors import SourceError
from tests.interop_peers.conftest import HERE

SCRIPT = HERE / "wrap_checks.py"
CHECKS = [
    node.name
    for node in ast.parse(SCRIPT.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
]


@pytest.fixture(scope="module")
def results(peer: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    python = peer()
    directory = tmp_path_factory.mktemp("packages")
    _run(str(python.with_name("openenv")), "init", "alpha_env", cwd=directory)
    for name in ("beta", "gamma"):
        _copy(directory / "alpha_env", directory / f"{name}_env", name)
    lines = _run(str(python), str(SCRIPT), str(directory), cwd=HERE).splitlines()
    outcome: dict[str, str | None] = json.loads(lines[-1])
    return outcome


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _copy(package: Path, copy: Path, name: str) -> None:
    """What `openenv init` would write for another name, without its start-up time."""
    for path in package.rglob("*"):
        if path.is_file() and path.suffix in (".py", ".yaml"):
            text = path.read_text().replace("alpha", name).replace("Alpha", name.title())
            target = copy / str(path.relative_to(package)).replace("alpha", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


@pytest.mark.parametrize("check", CHECKS)
def test_wrap(results: dict[str, str | None], check: str) -> None:
    """A check of `wrap_checks.py`, run beside openenv."""
    assert results[check] is None, results[check]


def test_without_openenv_the_error_says_what_to_install() -> None:
    """Where openenv is missing, the error names the command, and why it needs an environment of its own."""
    with pytest.raises(SourceError, match=r"pip install openenv.* of its own, because openenv and verifiers"):
        wrap("probe_env:ProbeEnv")
