"""What works on this machine: of the hub's own accord, and of each converter's `doctor` module beside its `wrap`."""

from __future__ import annotations

import platform
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec

from interop.sources import GROUP

PORT = 8000
"""What `interop serve` listens on where nothing else is said."""
TIMEOUT = 10.0
"""Seconds for Docker to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that works or does not.

    Attributes:
        name: What it is.
        works: Whether it does.
        says: What was seen: a version, or what is wrong.
        fix: What to type where it does not work.
        needed: Whether the hub cannot do without it; else it is for some environments.
    """

    name: str
    works: bool
    says: str
    fix: str = ""
    needed: bool = False


def examine() -> list[Finding]:
    """Everything, the hub's own first."""
    findings = [_python(), _port(), docker()]
    for point in sorted(entry_points(group=GROUP), key=lambda it: it.name):
        package = point.module.rpartition(".")[0]
        if find_spec(f"{package}.doctor") is not None:
            findings += import_module(f"{package}.doctor").examine()
    return findings


def installed(name: str, package: str, extra: str, what_for: str) -> Finding:
    """Whether a package is installed and can be imported."""
    try:
        import_module(package)
        return Finding(name=name, works=True, says=version(package))
    except PackageNotFoundError:
        return Finding(name=name, works=True, says="a version of its own")
    except ImportError as exc:
        missing = f"not installed, for {what_for}" if find_spec(package) is None else f"cannot be imported: {exc}"
        return Finding(name=name, works=False, says=missing, fix=f"pip install 'openenv-interop[{extra}]'")


def docker() -> Finding:
    """Whether a Docker daemon answers, and has Compose."""
    name, fix = "Docker", "install Docker Engine with its Compose plugin, start it, and let this user use it"
    if shutil.which("docker") is None:
        return Finding(name=name, works=False, says="there is no docker command", fix=fix)
    said = ""
    for command in (["docker", "compose", "version", "--short"], ["docker", "info", "--format", "{{.ServerVersion}}"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return Finding(name=name, works=False, says=f"`{' '.join(command[:2])}` gives no answer", fix=fix)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            return Finding(name=name, works=False, says=lines[-1] if lines else "it fails", fix=fix)
        said = f"engine {done.stdout.strip()}, compose {said}" if said else done.stdout.strip()
    return Finding(name=name, works=True, says=said)


def _python() -> Finding:
    works = sys.version_info >= (3, 12)
    says = f"{platform.python_version()} on {platform.system()} {platform.release()}"
    return Finding(name="Python", works=works, says=says, fix="use Python 3.12 or newer", needed=True)


def _port() -> Finding:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", PORT))
        except OSError as exc:
            says = f"{PORT} is taken" if isinstance(exc, OSError) and exc.errno == 98 else str(exc)
            return Finding(name="port", works=False, says=says, fix="interop serve ... --port 0 takes a free one")
    return Finding(name="port", works=True, says=f"{PORT} is free")
