"""The package as a whole: what it exports, who imports whom, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import interop

ROOT = Path(__file__).parent.parent
HEAVY = ("gymnasium", "numpy", "verifiers", "harbor", "docker", "mcp", "fastapi", "pydantic", "httpx", "websockets")


def imports(path: Path) -> set[str]:
    """The modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def offenders(folder: str, *forbidden: str) -> list[str]:
    """The imports below a folder that begin with a forbidden name."""
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in imports(path)
        if any(name == bad or name.startswith(f"{bad}.") for bad in forbidden)
    ]


def test_all_names_are_there() -> None:
    """Every exported name resolves, and nothing else is public."""
    for name in interop.__all__:
        assert getattr(interop, name) is not None
    assert sorted(interop.__all__) == interop.__all__
    assert {*interop._NAMES, "__version__"} == set(interop.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        interop.nothing  # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    """`import interop` imports no ecosystem and none of the big libraries."""
    code = f"import interop,sys; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_protocol_imports_no_io() -> None:
    """The protocol core opens no sockets and knows no shell around it."""
    assert not offenders("interop/protocol", "socket", "threading", "asyncio", "interop.server", "interop.client")


def test_the_shells_do_not_import_each_other() -> None:
    """Server and client meet in the protocol alone, and the hub reaches converters through entry points alone."""
    assert not offenders("interop/server", "interop.client")
    assert not offenders("interop/client", "interop.server")
    assert not offenders("interop", "converters", "conformance", "gymnasium.envs.classic_control")


def test_converters_do_not_import_each_other() -> None:
    """A converter imports the hub and its own ecosystem."""
    names = [path.name for path in (ROOT / "converters").iterdir() if (path / "__init__.py").exists()]
    for name in names:
        assert not offenders(f"converters/{name}", *(f"converters.{other}" for other in names if other != name))


def test_the_judge_is_independent() -> None:
    """The conformance suite uses the protocol at most, so that no bug of ours can hide itself."""
    assert not offenders("conformance", "interop.server", "interop.client", "converters")
