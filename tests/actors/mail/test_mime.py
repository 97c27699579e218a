"""What is laid out here is read by Python's email package as what was put in."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.mail import mime

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=300)


def read(*parts: bytes) -> EmailMessage:
    message = message_from_bytes(b"".join(parts), policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert [each.defects for each in message.walk() if each.defects] == []
    return message


@given(TEXT, TEXT, st.binary(max_size=500), TEXT)
def test_whatever_is_in_its_parts_a_mail_is_read_as_it_was_written(
    plain: str, html: str, picture: bytes, name: str
) -> None:
    related = mime.multipart(
        "related", [mime.text(mime.HTML, html), mime.leaf("image/png", picture, "Content-ID: <p>")]
    )
    both = mime.multipart("alternative", [mime.text(mime.PLAIN, f"{plain}\n--=_mixed--\nFrom {name}"), related])
    attached = mime.leaf("image/png", picture, 'Content-Disposition: attachment; filename="ticket.png"')
    mail = read(b"MIME-Version: 1.0\r\n", mime.multipart("mixed", [both, attached]))
    bodies = [mail.get_body((kind,)) for kind in ("plain", "html")]
    told = [str(each.get_content()) for each in bodies if each is not None]
    assert told == [f"{plain}\r\n--=_mixed--\r\nFrom {name}", html]
    pictures = [each.get_content() for each in mail.walk() if each.get_content_type() == "image/png"]
    assert pictures == [picture, picture]
    assert [each.get_filename() for each in mail.iter_attachments()] == ["ticket.png"]


@pytest.mark.parametrize("words", ["Tickets", "예매 완료: 카르멘 " * 20, 'a, <b> "c"; d@e'])
def test_a_subject_of_any_letters_and_length_is_folded_and_read_again(words: str) -> None:
    header = mime.subject(words.strip())
    assert header.isascii()
    assert max(map(len, header.split(b"\r\n"))) <= 78
    assert str(read(header, b"\r\n")["Subject"]) == words.strip()


def test_an_address_beyond_ascii_is_written_as_it_is_where_the_server_takes_that() -> None:
    header = mime.header("To", Address("김민지", "민지", "example.com"), international=True)
    assert "민지@example.com".encode() in header
    ascii_only = mime.header("To", Address("김민지", "minji", "example.com"))
    assert ascii_only.isascii()
    (to,) = read(ascii_only, b"\r\n")["To"].addresses
    assert (to.display_name, to.addr_spec) == ("김민지", "minji@example.com")


@pytest.mark.parametrize("name", ["", "Minji", "Minji Kim", "김민지", "O'Neil", "민" * 15, "a" * 70])
@pytest.mark.parametrize(
    "address", ["minji@example.com", "m.k+x@mail.example.co.kr", "a!b@example.com", f"{'m' * 60}@example.com"]
)
def test_the_short_way_says_to_whom_a_mail_is_as_the_package_does(name: str, address: str) -> None:
    written = mime.recipient(name, address)
    local, _, domain = address.rpartition("@")
    by_the_package = mime.header("To", Address(name, local, domain))
    ((ours,), (theirs,)) = (read(each, b"\r\n")["To"].addresses for each in (written, by_the_package))
    assert (ours.display_name, ours.addr_spec) == (theirs.display_name, theirs.addr_spec) == (name, address)
    assert max(map(len, written.split(b"\r\n"))) <= 78


def test_no_value_makes_a_header_of_its_own() -> None:
    for wrong in ("one\r\nBcc: all@example.com", "one\nBcc: all@example.com"):
        with pytest.raises(ValueError, match="linefeed"):
            mime.subject(wrong)
