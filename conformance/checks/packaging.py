"""Section 16 of the specification: packages. The files are evidence too; they are facts of the run."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from conformance.checks import check
from conformance.view import Broken, NotApplicable, View, expect, short

APP = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")
PORT = 8000


@check("PKG-1")
def manifest(view: View) -> None:
    name = _manifest(view).get("name")
    expect(isinstance(name, str) and name, f"`name` in openenv.yaml is {short(name)}")


@check("PKG-2")
def files(view: View) -> None:
    _expect_files(view, "__init__.py", "client.py", "README.md", "pyproject.toml")


@check("PKG-3")
def dockerfile(view: View) -> None:
    _dockerfile(view)


@check("PKG-4")
def server_files(view: View) -> None:
    if "Dockerfile" not in _files(view):
        _expect_files(view, "server/__init__.py", "server/app.py")


@check("PKG-5")
def app(view: View) -> None:
    named = _manifest(view).get("app")
    match = APP.fullmatch(named) if isinstance(named, str) else None
    if match is None:
        raise Broken(f"`app` in openenv.yaml is {short(named)}, expected something like server.app:app")
    path = match[1].replace(".", "/")
    expect({f"{path}.py", f"{path}/__init__.py"} & set(_files(view)), f"`app` is {named}, and there is no {path}.py")


@check("PKG-6")
def name(view: View) -> None:
    value = _manifest(view).get("name")
    good = isinstance(value, str) and value.isidentifier() and value == value.lower()
    expect(good, f"`name` in openenv.yaml is {short(value)}, expected something like my_env")


@check("PKG-7")
def spec_version(view: View) -> None:
    value = _manifest(view).get("spec_version")
    expect(value == 1 and value is not True, f"`spec_version` in openenv.yaml is {short(value)}, expected 1")


@check("PKG-8")
def validation(view: View) -> None:
    value = _manifest(view).get("validation")
    expect(isinstance(value, dict), f"`validation` in openenv.yaml is {short(value)}, expected a mapping")


@check("PKG-9")
def script(view: View) -> None:
    try:
        project = tomllib.loads(_text(view, "pyproject.toml"))
    except tomllib.TOMLDecodeError as exc:
        raise Broken(f"pyproject.toml cannot be read: {exc}") from None
    value = project.get("project", {}).get("scripts", {}).get("server")
    expect(isinstance(value, str) and value.endswith(":main"), f"the script `server` is {short(value)}")


@check("PKG-10")
def healthcheck(view: View) -> None:
    text = _text(view, _dockerfile(view)).replace("\\\n", " ")
    checks = [line for line in text.splitlines() if line.strip().upper().startswith("HEALTHCHECK")]
    expect(
        any("/health" in line for line in checks), f"the Dockerfile has {short(checks) if checks else 'no HEALTHCHECK'}"
    )


@check("PKG-11")
def front_matter(view: View) -> None:
    match = re.match(r"---\n(.*?)\n---", _text(view, "README.md"), re.DOTALL)
    if match is None:
        raise Broken("README.md begins without a front matter")
    front = _yaml("the front matter of README.md", match[1])
    port = front.get("app_port")
    good = front.get("sdk") == "docker" and isinstance(port, int)
    expect(good, f"the front matter has sdk {short(front.get('sdk'))} and app_port {short(port)}")


@check("PKG-12")
def ready(view: View) -> None:
    seconds = _package(view, "image")["ready_seconds"]
    expect(seconds is not None, f"`GET /health` on port {PORT} was never answered with 200")
    expect(seconds <= 30, f"`GET /health` on port {PORT} was answered after {seconds:.0f} s")


@check("PKG-13")
def user(view: View) -> None:
    value = str(_package(view, "image")["user"])
    expect(value.partition(":")[0] not in ("", "0", "root"), f"the image's user is {value or 'root'}")


def _package(view: View, kind: str) -> dict[str, Any]:
    package: dict[str, Any] = view.fact("package") or {}
    if package.get("kind") != kind:
        what = {"directory": "a directory", "image": "an image"}[kind]
        raise NotApplicable(f"the server was not given as {what}")
    return package


def _files(view: View) -> list[str]:
    files: list[str] = _package(view, "directory")["files"]
    return files


def _expect_files(view: View, *names: str) -> None:
    missing = [name for name in names if name not in _files(view)]
    expect(not missing, f"missing: {', '.join(missing)}")


def _text(view: View, name: str) -> str:
    texts: dict[str, str] = _package(view, "directory")["texts"]
    expect(name in texts, f"there is no {name}")
    return texts[name]


def _dockerfile(view: View) -> str:
    found = [name for name in ("Dockerfile", "server/Dockerfile") if name in _files(view)]
    expect(found, "there is no Dockerfile at the root or in server/")
    return found[0]


def _manifest(view: View) -> dict[str, Any]:
    return _yaml("openenv.yaml", _text(view, "openenv.yaml"))


def _yaml(name: str, text: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise Broken(f"{name} is no YAML: {short(' '.join(str(exc).split()))}") from None
    if not isinstance(document, dict):
        raise Broken(f"{name} is no mapping: {short(text)}")
    return document
