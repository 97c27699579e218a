"""What commands say to whoever sits at the terminal, or to the file they write to."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from rich.console import Console

WIDTH_OF_FILES = 160  # columns where the output isn't a terminal: nothing is cut there


def console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_FILES)


def fail(message: str) -> NoReturn:
    """Ends the program with the message on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"boxoffice: {message}")
    raise typer.Exit(1)
