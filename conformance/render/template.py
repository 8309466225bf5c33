"""Templates in files, filled so that whatever came from a server is text and never markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from conformance.text import visible

_CODE = re.compile(r"`([^`\n]+)`")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def escape(value: Any) -> Html:
    """A value as text in markup."""
    return value if isinstance(value, Html) else Html(html.escape(visible(str(value))))


def prose(text: str) -> Html:
    """A sentence as markup: what stands in backticks is code."""
    return Html(_CODE.sub(r"<code>\1</code>", escape(text)))


def join(parts: Iterable[Html]) -> Html:
    """Pieces of markup, one after the other."""
    return Html("\n".join(parts))


def fill(name: str, /, **values: Any) -> Html:
    """A template, filled; values that are not `Html` are escaped."""
    return Html(_template(name).substitute({key: escape(value) for key, value in values.items()}))


def asset(name: str) -> str:
    """The text of a file beside the templates."""
    return files("conformance.render").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _template(name: str) -> Template:
    return Template(asset(name).rstrip("\n"))
