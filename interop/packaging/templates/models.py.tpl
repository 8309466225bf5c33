"""The models of $title, made of the schemas that its server has at GET /schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from interop.packaging.bases import Action, Observation, State


$models
