[build-system]
requires = ["setuptools>=69"]
build-backend = "setuptools.build_meta"

[project]
name = "$distribution"
version = "0.1.0"
description = $quoted_description
readme = "README.md"
requires-python = ">=3.12"
dependencies = [
$dependencies
]

[project.optional-dependencies]
# client.py and server/${name}_environment.py are classes of openenv's; the server needs none.
client = ["openenv>=0.10"]

[project.scripts]
server = "$name.server.app:main"

[tool.setuptools]
packages = ["$name", "$name.server"]
package-dir = { "$name" = ".", "$name.server" = "server" }

[tool.setuptools.package-data]
"$name" = ["openenv.yaml", "source/**"]
