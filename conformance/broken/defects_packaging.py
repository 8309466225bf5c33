"""Defects of section 16: packages."""

from __future__ import annotations

from typing import Any

from conformance.broken import defect
from conformance.broken.healthy import Healthy
from conformance.package import image

FILES = {
    "openenv.yaml": "spec_version: 1\nname: counter_env\napp: server.app:app\nvalidation: {types: {tags: [toy]}}\n",
    "pyproject.toml": '[project]\nname = "counter"\n[project.scripts]\nserver = "counter_env.server.app:main"\n',
    "README.md": "---\nsdk: docker\napp_port: 8000\n---\n# Counter\n",
    "server/Dockerfile": "FROM scratch\nHEALTHCHECK --interval=5s \\\n  CMD curl -f http://localhost:8000/health\n",
    "__init__.py": "",
    "client.py": "",
    "server/__init__.py": "",
    "server/app.py": "",
}


def _package(**changes: Any) -> dict[str, Any]:
    """The healthy package with other texts for some files, or without them (None)."""
    files = {**FILES, **{_path(key): text for key, text in changes.items()}}
    kept = {name: text for name, text in files.items() if text is not None}
    return {"kind": "directory", "files": sorted(kept), "texts": {name: text for name, text in kept.items() if text}}


def _path(key: str) -> str:
    names = {"manifest": "openenv.yaml", "project": "pyproject.toml", "readme": "README.md", "init": "__init__.py",
             "client": "client.py", "dockerfile": "server/Dockerfile", "app": "server/app.py",
             "server": "server/__init__.py", "root": "Dockerfile"}  # fmt: skip
    return names[key]


def _manifest(old: str, new: str) -> dict[str, Any]:
    return _package(manifest=FILES["openenv.yaml"].replace(old, new))


class Packaged(Healthy):
    """A server that was shipped as a directory."""

    package = _package()


class Imaged(Healthy):
    """A server that was shipped as an image."""

    package = image(ready_seconds=1.5, user="app")


_ALL_OF_THE_MANIFEST = ("PKG-1", "PKG-5", "PKG-6", "PKG-7", "PKG-8")

defect("no manifest", *_ALL_OF_THE_MANIFEST, base=Packaged, package=_package(manifest=None))
defect("a manifest that is a list", *_ALL_OF_THE_MANIFEST, base=Packaged, package=_package(manifest="- name\n"))
defect("a manifest that is no YAML", *_ALL_OF_THE_MANIFEST, base=Packaged, package=_package(manifest="a: [\n"))
defect("a manifest with a number as name", "PKG-1", "PKG-6", base=Packaged, package=_manifest("counter_env", "7"))
defect("no client.py", "PKG-2", base=Packaged, package=_package(client=None))
defect("no __init__.py", "PKG-2", base=Packaged, package=_package(init=None))
defect("no README.md", "PKG-2", "PKG-11", base=Packaged, package=_package(readme=None))
defect("no pyproject.toml", "PKG-2", "PKG-9", base=Packaged, package=_package(project=None))
defect("no Dockerfile", "PKG-3", "PKG-10", base=Packaged, package=_package(dockerfile=None))
defect("no server/__init__.py", "PKG-4", base=Packaged, package=_package(server=None))
defect("no server/app.py", "PKG-4", "PKG-5", base=Packaged, package=_package(app=None))
defect("no app in the manifest", "PKG-5", base=Packaged, package=_manifest("app: server.app:app\n", ""))
defect("an app by its path", "PKG-5", base=Packaged, package=_manifest("server.app:app", "server/app.py"))
defect("a name in capitals", "PKG-6", base=Packaged, package=_manifest("counter_env", "CounterEnv"))
defect("a name with a hyphen", "PKG-6", base=Packaged, package=_manifest("counter_env", "counter-env"))
defect("no spec_version", "PKG-7", base=Packaged, package=_manifest("spec_version: 1\n", ""))
defect("spec_version as text", "PKG-7", base=Packaged, package=_manifest("spec_version: 1", 'spec_version: "1"'))
defect("no validation block", "PKG-8", base=Packaged, package=_manifest("validation:", "validate:"))
defect("a script of another name", "PKG-9", base=Packaged,
       package=_package(project=FILES["pyproject.toml"].replace("server =", "serve =")))  # fmt: skip
defect("no HEALTHCHECK", "PKG-10", base=Packaged, package=_package(dockerfile="FROM scratch\nCMD run /health\n"))
defect("no front matter", "PKG-11", base=Packaged, package=_package(readme="# Counter\n"))
defect("a front matter without a port", "PKG-11", base=Packaged, package=_package(readme="---\nsdk: docker\n---\n"))
defect("an image that is not ready", "PKG-12", base=Imaged, package=image(ready_seconds=None, user="app"))
defect("an image that is ready late", "PKG-12", base=Imaged, package=image(ready_seconds=31.0, user="app"))
defect("an image that runs as root", "PKG-13", base=Imaged, package=image(ready_seconds=1.5, user=""))
defect("an image that runs as user 0", "PKG-13", base=Imaged, package=image(ready_seconds=1.5, user="0:0"))
