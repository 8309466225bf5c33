"""What the commands print: tables in a terminal, plain lines elsewhere, JSON alone where it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_LABEL = 16
"""Columns of a label."""


def in_terminal() -> bool:
    """Whether stdout is read by a person."""
    return sys.stdout.isatty()


def terminal() -> Console:
    """Standard output, for what rich draws."""
    from rich.console import Console

    return Console(highlight=False)


def notices() -> Console:
    """Standard error: progress, questions and warnings, which are not results."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def write(text: str) -> None:
    """Write a line to stdout now."""
    sys.stdout.write(text.rstrip("\n") + "\n")
    sys.stdout.flush()


def write_json(document: Mapping[str, Any], *, one_line: bool = False) -> None:
    """Write a JSON document to stdout now. NaN and infinities, which JSON has not, are null."""
    import orjson

    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    write(orjson.dumps(document, default=str, option=options if one_line else options | orjson.OPT_INDENT_2).decode())


def write_error_text(text: str) -> None:
    """Write a text to stderr as it is."""
    sys.stderr.write(text)
    sys.stderr.flush()


def error(message: str) -> None:
    """One red line on stderr."""
    _line(f"error: {message}", "bold red")


def warning(message: str) -> None:
    """One yellow line on stderr."""
    _line(f"warning: {message}", "yellow")


def _line(message: str, style: str) -> None:
    text = " ".join(message.split())
    if sys.stderr.isatty():
        notices().print(text, style=style, markup=False, soft_wrap=True)
    else:
        write_error_text(text + "\n")


def write_entry(label: str, text: str, style: str = "") -> None:
    """A label and what it is about, below other such lines. What others wrote cannot steer the terminal."""
    text = "".join(it if it.isprintable() else repr(it)[1:-1] for it in " ".join(text.split()))
    if not in_terminal():
        write(f"{label:<{_LABEL}}{text}")
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=0)
    grid.add_column(width=_LABEL, style=style)
    grid.add_column(overflow="fold")
    grid.add_row(label, Text(text))
    terminal().print(grid)


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """A table: drawn in a terminal, aligned columns elsewhere. Columns that begin with `>` are numbers."""
    rows = list(rows)
    right = [column.startswith(">") for column in columns]
    names = [column.removeprefix(">") for column in columns]
    if not in_terminal():
        lines = [names, *rows] if any(names) else rows
        widths = [max(len(line[index]) for line in lines) for index in range(len(names))]
        for line in lines:
            cells = (f"{text:>{w}}" if r else f"{text:<{w}}" for text, w, r in zip(line, widths, right, strict=True))
            write("  ".join(cells).rstrip())
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", show_header=any(names), header_style="bold")
    for name, is_number in zip(names, right, strict=True):
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # a Text, so that "[...]" is no markup
    terminal().print(table)
