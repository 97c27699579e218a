"""What `boxoffice up` says when it is open, and to whom."""

from __future__ import annotations

import errno

import pytest

from actors.process.settings import Settings
from actors.supervision.supervisor import Supervisor
from api.command_line import opening


def test_who_reads_is_told_where_it_is_and_how_to_log_in(capsys: pytest.CaptureFixture[str]) -> None:
    opening.show(Supervisor(Settings(port=8123)), [("admin", "admin@boxoffice.example", "a password")])
    told = capsys.readouterr().out
    assert all(each in told for each in ("http://127.0.0.1:8123/docs", "admin@boxoffice.example", "a password"))


@pytest.mark.parametrize("code", [errno.EPIPE, errno.ENOSPC])
def test_that_nobody_reads_it_or_that_it_finds_no_room_is_no_reason_not_to_sell(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    silenced = []

    def unread(*_: object, **__: object) -> None:
        raise OSError(code, "")

    monkeypatch.setattr(opening.typer, "echo", unread)
    monkeypatch.setattr(opening, "silence", lambda: silenced.append(True))
    opening.show(Supervisor(Settings()), [])
    assert silenced
