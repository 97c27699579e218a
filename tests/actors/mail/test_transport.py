"""Ways on which mails leave: a private mbox, or a server; nobody reads an address where it does not belong."""

from __future__ import annotations

import asyncio
import logging
import mailbox
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.headerregistry import Address
from pathlib import Path

import pytest

from actors.mail import transport
from actors.mail.transport import (
    EMBEDDED_SENDER,
    OUTBOX,
    MailAway,
    Outbox,
    SmtpServer,
    SmtpTransport,
    open_transport,
    scrubbed,
    sender_of,
)
from actors.process.settings import Settings, SettingsError
from tests.support.mail.desk import BOOKING, EMAIL, Desk
from tests.support.mail.server import SENDER, MailServer
from tests.support.waiting import turns, until


async def test_embedded_default_is_a_private_mbox_that_python_reads_and_a_line_in_the_log(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    transport = open_transport(Settings(data_dir=str(tmp_path)))
    assert transport.sender == EMBEDDED_SENDER
    ids = [await desk.put(), await desk.put("refunded")]
    await desk.send(transport)
    path = tmp_path / OUTBOX
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    box = mailbox.mbox(path)
    assert sorted(str(mail["Message-ID"]) for mail in box) == sorted(f"<{each}@localhost>" for each in ids)
    box.close()
    lines = [line.getMessage() for line in caplog.records if line.name == "actors.mail.mailer"]
    assert f"mail sent: confirmed, booking {BOOKING}, [예매 완료] 카르멘 <Carmen> act 2" in lines
    assert EMAIL not in caplog.text


async def test_mbox_goes_on_after_a_writer_that_died_in_the_middle(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / OUTBOX
    path.write_bytes(b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\nSubject: torn\n\nhalf a li")
    await desk.put()
    await desk.send(Outbox(path, EMBEDDED_SENDER))
    box = mailbox.mbox(path)
    assert [str(mail["Subject"]) == "torn" for mail in box] == [True, False]
    box.close()


@asynccontextmanager
async def locked_elsewhere(path: Path) -> AsyncIterator[None]:
    """A mail program has the file locked within the block."""
    holder = await asyncio.create_subprocess_exec(
        "python3",
        "-c",
        f"import mailbox, sys; box = mailbox.mbox({str(path)!r}); box.lock(); print('locked', flush=True);"
        " sys.stdin.read(); box.unlock()",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"locked\n"
    try:
        yield
    finally:
        holder.stdin.close()
        await holder.wait()


async def test_mbox_waits_for_whoever_has_it_locked(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / OUTBOX
    async with locked_elsewhere(path):
        mail_id = await desk.put()
        sending = asyncio.create_task(desk.send(Outbox(path, EMBEDDED_SENDER)))
        await until(lambda: desk.is_status(mail_id, "sending"))
        assert path.read_bytes() == b""
    await sending
    assert await desk.status(mail_id) == "sent"


async def test_mails_that_wait_together_for_the_mbox_do_not_overwrite_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = transport._gap

    def slowly(descriptor: int, end: int) -> bytes:
        time.sleep(0.001)  # the disk is slow: others come to the same end of the file meanwhile
        return gap(descriptor, end)

    monkeypatch.setattr(transport, "_gap", slowly)
    path, subjects = tmp_path / OUTBOX, [f"mail {number}" for number in range(20)]
    file = Outbox(path, EMBEDDED_SENDER)
    async with locked_elsewhere(path):
        sending = [
            asyncio.create_task(file.send(f"Subject: {subject}\r\n\r\nSo be it.\r\n".encode(), EMAIL))
            for subject in subjects
        ]
        await turns(2)
    await asyncio.gather(*sending)
    box = mailbox.mbox(path)
    assert sorted(str(mail["Subject"]) for mail in box) == sorted(subjects)
    box.close()


async def test_mbox_that_cannot_be_written_leaves_the_mail_for_later(desk: Desk, tmp_path: Path) -> None:
    mail_id = await desk.put()
    await desk.send(Outbox(tmp_path / "nowhere" / OUTBOX, EMBEDDED_SENDER))
    row = await desk.row(mail_id)
    assert (row["status"], row["attempts"]) == ("pending", 1)
    assert "No such file" in row["error"]


async def test_address_beyond_ascii_goes_to_a_server_that_takes_it(desk: Desk, server: MailServer) -> None:
    await desk.pool.execute("UPDATE accounts SET email = '민지@example.com'")
    await desk.put()
    await desk.send(server.transport())
    assert server.recipients == ["민지@example.com"]


async def test_domain_beyond_ascii_is_sent_as_every_server_takes_it(desk: Desk, server: MailServer) -> None:
    await desk.pool.execute("UPDATE accounts SET email = 'minji@한국.kr'")
    await desk.put()
    await desk.send(server.transport())
    assert server.recipients == ["minji@xn--3e0b707e.kr"]


async def test_no_mail_goes_in_the_clear_where_tls_is_required(server: MailServer) -> None:
    strict = SmtpTransport(SmtpServer.parse(f"{server.url}?starttls=required"), SENDER, timeout_seconds=5)
    with pytest.raises(MailAway):
        async with strict.opened():
            raise AssertionError("it must not open")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", ("mail.example.com", 587, None, None, False, None)),
        ("smtp://mail.example.com:25?starttls=off", ("mail.example.com", 25, None, None, False, False)),
        ("smtp://u:p%40ss@mail.example.com", ("mail.example.com", 587, "u", "p@ss", False, True)),
        ("smtp://u:p@mail.example.com?starttls=off", ("mail.example.com", 587, "u", "p", False, False)),
        ("smtp://u:p@127.0.0.1:1025", ("127.0.0.1", 1025, "u", "p", False, None)),
        ("smtps://u@mail.example.com", ("mail.example.com", 465, "u", "", True, False)),
    ],
)
def test_smtp_urls(url: str, server: tuple[object, ...]) -> None:
    parsed = SmtpServer.parse(url)
    found = (parsed.host, parsed.port, parsed.username, parsed.password, parsed.tls, parsed.start_tls)
    assert found == server


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://mail.example.com:99999",
        "smtp://u:hunter2@mail.example.com?starttls=maybe",
        "smtp://mail.example.com?tls=1",
        "smtps://mail.example.com?starttls=required",
    ],
)
def test_unfit_smtp_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        SmtpServer.parse(url)
    assert "BOXOFFICE_SMTP_URL" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_settings_choose_the_transport_and_the_sender() -> None:
    assert sender_of("Boxoffice <tickets@example.com>") == Address("Boxoffice", "tickets", "example.com")
    assert sender_of("tickets@example.com").addr_spec == "tickets@example.com"
    chosen = open_transport(Settings(smtp_url="smtp://mail.example.com", mail_from="tickets@example.com"))
    assert (chosen.name, chosen.sender.addr_spec) == ("mail.example.com:587", "tickets@example.com")
    for wrong in (Settings(smtp_url="smtp://mail.example.com"), Settings(mail_from="nobody")):
        with pytest.raises(SettingsError):
            open_transport(wrong)
    assert "hunter2" not in repr(Settings(smtp_url="smtp://u:hunter2@mail.example.com"))


def test_errors_are_told_without_addresses() -> None:
    assert scrubbed("550 5.1.1 <a.b@c.example>:\n no such user a@b") == "550 5.1.1 … no such user …"
