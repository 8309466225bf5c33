"""OpenEnv packages and images of any source: what writes them, and what their files are made of."""

from __future__ import annotations

from interop.packaging.application import Application

__all__ = ["Application"]
