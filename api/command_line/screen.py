"""What commands say to whoever sits at the terminal, or to the file they write to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console

WIDTH_OF_FILES = 160  # columns where the output isn't a terminal: nothing is cut there


class NobodyReads(Exception):
    """Whoever read what is written has enough, as `head` has after ten lines."""


def console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_FILES)


def fail(message: str) -> NoReturn:
    """Ends the program with the message on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"boxoffice: {message}")
    raise typer.Exit(1)


def say(line: bytes | str) -> None:
    """A line for who reads it now. Raises `NobodyReads`."""
    try:
        typer.echo(line)
    except BrokenPipeError as error:
        raise NobodyReads from error


@contextmanager
def without_end() -> Iterator[None]:
    """For what goes on until somebody has enough: Ctrl-C ends it, or a reader that goes; neither is a failure."""
    try:
        yield
    except KeyboardInterrupt:
        pass
    except NobodyReads:
        silence()


def silence() -> None:
    """Sends what is still to be written nowhere: at its end Python would tell of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
