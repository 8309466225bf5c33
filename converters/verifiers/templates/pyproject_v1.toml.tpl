[project]
name = "$name"
version = "0.1.0"
description = "An OpenEnv server as an environment of verifiers."
readme = "README.md"
requires-python = ">=3.12"
dependencies = [$needs"verifiers>=0.3.1"]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build]
include = ["$module.py"]
