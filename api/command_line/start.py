"""Where the program begins: whoever changes their mind while it is imported is not told of imports."""

from __future__ import annotations

import signal


def main() -> None:
    """Runs the program. Ctrl-C ends it without a word until there is something that could hear it."""
    given = signal.getsignal(signal.SIGINT)
    if given is signal.default_int_handler:  # not where it is to be passed over, as in a shell's background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from api.command_line.cli import app

    signal.signal(signal.SIGINT, given)
    app()
