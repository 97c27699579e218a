"""The words of every mail, in Korean and English, and how times, money and places are written in them.

Times are those that the clocks of the venue show, and say whose they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from persistence.providers.minor_units import exponent, to_major

SUBJECT_CHARACTERS = 60  # of a list of mails a telephone shows no more
WEEKDAYS_KO = "월화수목금토일"
# Not `strftime`: it writes in the language of the process.
WEEKDAYS_EN = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS_EN = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


class Labelled(Protocol):
    """A place as it is called. Standing room has no row, and its name as its number."""

    @property
    def zone(self) -> str: ...
    @property
    def row(self) -> str: ...
    @property
    def number(self) -> str: ...
    @property
    def category(self) -> str: ...


class Words(NamedTuple):
    """A kind of mail in one language. `{title}` is the performance's."""

    subject: str
    heading: str
    lead: str


class Kind(NamedTuple):
    en: Words
    ko: Words


KINDS: Mapping[str, Kind] = {
    "confirmed": Kind(
        Words(
            "Your booking is confirmed: {title}",
            "Your booking is confirmed",
            "Thank you for your booking. Please show the QR code below at the entrance.",
        ),
        Words(
            "[예매 완료] {title}",
            "예매가 완료되었습니다",
            "예매해 주셔서 감사합니다. 공연 당일 입장하실 때 아래 QR 코드를 보여 주세요.",
        ),
    ),
    "seats_changed": Kind(
        Words(
            "Your seats have changed: {title}",
            "Your seats have changed",
            "Your booking is now for the seats below. Please show the QR code below at the entrance.",
        ),
        Words(
            "[좌석 변경] {title}",
            "좌석이 변경되었습니다",
            "예매하신 좌석이 아래와 같이 변경되었습니다. 입장하실 때 아래 QR 코드를 보여 주세요.",
        ),
    ),
    "transfer_offered": Kind(
        Words(
            "Seats are offered to you: {title}",
            "Somebody offers you seats",
            "Accept them in the time given below and they are yours, with a ticket of your own. You pay nothing.",
        ),
        Words(
            "[좌석 양도] {title}",
            "좌석을 양도받을 수 있습니다",
            "아래 기한까지 수락하시면 좌석이 회원님의 것이 되고 새 티켓이 발급됩니다. 결제하실 금액은 없습니다.",
        ),
    ),
    "taken_over": Kind(
        Words(
            "Your ticket: {title}",
            "The seats are yours",
            "You have taken over the seats below. Please show the QR code below at the entrance. Should they be given"
            " back, the money goes to who paid for them.",
        ),
        Words(
            "[양도받은 티켓] {title}",
            "좌석을 양도받았습니다",
            "아래 좌석을 양도받으셨습니다. 입장하실 때 아래 QR 코드를 보여 주세요."
            " 환불되는 경우 금액은 결제하신 분께 돌아갑니다.",
        ),
    ),
    "handed_on": Kind(
        Words(
            "Your seats were taken over: {title}",
            "Your seats have been taken over",
            "Your ticket is no longer valid. Should the seats be given back, what you paid is returned to you.",
        ),
        Words(
            "[양도 완료] {title}",
            "좌석이 양도되었습니다",
            "기존 티켓은 더 이상 사용하실 수 없습니다. 환불되는 경우 결제하신 금액은 회원님께 돌려드립니다.",
        ),
    ),
    "partly_handed_on": Kind(
        Words(
            "Some of your seats were taken over: {title}",
            "Some of your seats have been taken over",
            "The seats you keep are on the new ticket below. Tickets from earlier mails are no longer valid.",
        ),
        Words(
            "[일부 양도 완료] {title}",
            "일부 좌석이 양도되었습니다",
            "남은 좌석의 새 티켓을 아래에 넣어 드립니다. 이전 메일의 티켓은 더 이상 사용하실 수 없습니다.",
        ),
    ),
    "cancelled": Kind(
        Words(
            "Your booking is cancelled: {title}",
            "Your booking is cancelled",
            "Your booking has been cancelled. Nothing had been charged for it, so there is nothing to refund.",
        ),
        Words(
            "[예매 취소] {title}",
            "예매가 취소되었습니다",
            "아래 예매가 취소되었습니다. 결제된 금액이 없어 환불해 드릴 금액도 없습니다.",
        ),
    ),
    "refunded": Kind(
        Words(
            "Cancelled and refunded: {title}",
            "Your booking is cancelled",
            "All seats of your booking have been given back.",
        ),
        Words(
            "[예매 취소·환불] {title}",
            "예매가 취소되었습니다",
            "아래 예매의 모든 좌석이 취소되었습니다.",
        ),
    ),
    "partially_refunded": Kind(
        Words(
            "Part of your booking is refunded: {title}",
            "Some of your seats have been given back",
            "The seats you keep are on the new ticket below. Tickets from earlier mails are no longer valid.",
        ),
        Words(
            "[일부 좌석 취소·환불] {title}",
            "일부 좌석이 취소되었습니다",
            "남은 좌석의 새 티켓을 아래에 넣어 드립니다. 이전 메일의 티켓은 더 이상 사용하실 수 없습니다.",
        ),
    ),
    "payer_refunded": Kind(
        Words(
            "Money is coming back to you: {title}",
            "Seats that you paid for have been given back",
            "You had handed the seats below on to somebody else. What comes back for them is yours.",
        ),
        Words(
            "[양도 좌석 환불] {title}",
            "결제하신 좌석이 취소되었습니다",
            "다른 분께 양도하신 아래 좌석이 취소되었습니다. 환불 금액은 결제하신 회원님께 돌려드립니다.",
        ),
    ),
    "payment_returned": Kind(
        Words(
            "Your payment is being returned: {title}",
            "Your payment is being returned",
            "Your payment came too late to be used for your booking. We are returning it in full.",
        ),
        Words(
            "[결제 취소] {title}",
            "결제가 취소되었습니다",
            "결제가 늦게 확인되어 예매에 반영하지 못했습니다. 결제하신 금액은 전액 환불해 드립니다.",
        ),
    ),
    "schedule_changed": Kind(
        Words(
            "New date and time: {title}",
            "The performance has been moved",
            "The performance you have booked will take place at another time. Your seats stay yours, and your ticket"
            " remains valid.",
        ),
        Words(
            "[일정 변경] {title}",
            "공연 일정이 변경되었습니다",
            "예매하신 공연의 일정이 변경되었습니다. 좌석은 그대로 유지되며, 받으신 티켓도 계속 사용하실 수 있습니다.",
        ),
    ),
    "schedule_cancelled": Kind(
        Words(
            "Performance cancelled: {title}",
            "The performance will not take place",
            "We are sorry: the performance you have booked has been cancelled, and your booking with it.",
        ),
        Words(
            "[공연 취소] {title}",
            "공연이 취소되었습니다",
            "예매하신 공연이 부득이한 사정으로 취소되어 안내드립니다. 이용에 불편을 드려 죄송합니다.",
        ),
    ),
}
# What these say instead where no money comes back.
KINDS_WITHOUT_MONEY: Mapping[str, Kind] = {
    "refunded": Kind(
        Words(
            "Your booking is cancelled: {title}",
            "Your booking is cancelled",
            "You have none of its seats any more.",
        ),
        Words(
            "[예매 취소] {title}",
            "예매가 취소되었습니다",
            "아래 예매의 모든 좌석이 취소되었습니다.",
        ),
    ),
    "partially_refunded": Kind(
        Words(
            "You have fewer seats: {title}",
            "Some of your seats are cancelled",
            "The seats you keep are on the new ticket below. Tickets from earlier mails are no longer valid.",
        ),
        Words(
            "[일부 좌석 취소] {title}",
            "일부 좌석이 취소되었습니다",
            "남은 좌석의 새 티켓을 아래에 넣어 드립니다. 이전 메일의 티켓은 더 이상 사용하실 수 없습니다.",
        ),
    ),
}

LABELS: Mapping[str, tuple[str, str]] = {
    # name: English, Korean
    "performance": ("Performance", "공연"),
    "venue": ("Venue", "공연장"),
    "starts_at": ("Date and time", "일시"),
    "former_starts_at": ("Formerly", "변경 전"),
    "new_starts_at": ("Now", "변경 후"),
    "booking": ("Booking number", "예매 번호"),
    "seats": ("Seats", "좌석"),
    "seats_left": ("Seats you keep", "남은 좌석"),
    "seats_given_back": ("Seats given back", "취소 좌석"),
    "seats_handed_on": ("Seats handed on", "양도 좌석"),
    "open_until": ("Accept until", "수락 기한"),
    "paid": ("Paid", "결제 금액"),
    "refund": ("Refund", "환불 금액"),
    "fee": ("Cancellation fee", "취소 수수료"),
    "reason": ("Reason", "사유"),
}

SEE_OFFER = ("See the offer", "양도 제안 보기")
SEE_BOOKING = ("See your booking", "예매 보기")
SEE_BOOKINGS = ("See your bookings", "내 예매 보기")
IF_NOT_COMING = (
    "If you cannot come: whether you can change your seats or give them back, and for how much, is shown with your"
    " booking.",
    "오시기 어려울 때의 좌석 변경과 환불 조건은 예매 화면에서 확인하실 수 있습니다.",
)
IF_NOT_COMING_THEN = (
    "If you cannot come at that time: what you get back is shown with your booking.",
    "변경된 일시에 오시기 어려우면 돌려받으실 금액을 예매 화면에서 확인하실 수 있습니다.",
)
OFFER_NOT_WANTED = (
    "If you do not want them, decline, or do nothing: the offer ends by itself.",
    "원하지 않으시면 거절하시거나 그대로 두세요. 기한이 지나면 제안은 자동으로 끝납니다.",
)
GREETING = ("Hello,", "안녕하세요.")
GREETING_BY_NAME = ("Hello {name},", "안녕하세요, {name} 님.")
REFUND_ON_ITS_WAY = (
    "The refund goes back to your original payment method. Depending on the card company it may take 3 to 7 business"
    " days to arrive.",
    "환불 금액은 결제하신 수단으로 돌려드리며, 카드사에 따라 영업일 기준 3~7일이 걸릴 수 있습니다.",
)
REFUND_TO_PAYER = (
    "The seats had been handed on to you: what comes back for them goes to who paid.",
    "양도받으신 좌석이므로 환불 금액은 결제하신 분께 돌아갑니다.",
)
NO_REFUND = (
    "According to the refund policy no amount is left to be refunded.",
    "환불 규정에 따라 돌려드릴 금액이 없습니다.",
)
KEPT = (
    "What was paid for it is not given back.",
    "결제하신 금액은 환불되지 않습니다.",
)
NOTHING_CHARGED = (
    "Nothing had been charged for your booking, so there is nothing to refund.",
    "결제된 금액이 없어 환불해 드릴 금액도 없습니다.",
)
TICKET_CAPTION = (
    "Admits {places}. Keep this code to yourself: whoever shows it is let in.",
    "입장 인원 {places}명 · 코드를 가진 사람이 입장할 수 있으니 다른 사람에게 보여 주지 마세요.",
)
ON_BEHALF = (
    "You receive this mail because of your booking. It was sent automatically; please do not reply.",
    "이 메일은 예매와 관련하여 발송된 발신 전용 메일입니다.",
)
ON_BEHALF_OF_OFFER = (
    "You receive this mail because somebody offers you seats. It was sent automatically; please do not reply.",
    "이 메일은 좌석 양도 제안과 관련하여 발송된 발신 전용 메일입니다.",
)


def chosen(words: tuple[str, str], language: str) -> str:
    """The one of an English and a Korean text."""
    return words[1] if language == "ko" else words[0]


def label(name: str, language: str) -> str:
    return chosen(LABELS[name], language)


def words_of(kind: str, language: str, amount: int) -> Words:
    """What a mail of this kind says; `amount`: of the money it is about."""
    words = KINDS[kind] if amount else KINDS_WITHOUT_MONEY.get(kind, KINDS[kind])
    return words.ko if language == "ko" else words.en


def subject_text(subject: str, title: str) -> str:
    """The subject with the title in it, of which as much is left out as a list of mails would."""
    room = SUBJECT_CHARACTERS - len(subject.format(title=""))
    return subject.format(title=title if len(title) <= room else f"{title[: room - 1].rstrip()}…")


def zone_text(time_zone: str, language: str) -> str:
    """Whose time it is: Korean time, New York time, UTC."""
    if time_zone == "Asia/Seoul":
        return chosen(("Korean time", "한국 시간"), language)
    place = time_zone.rpartition("/")[2].replace("_", " ")
    if place.startswith(("UTC", "GMT")) or "/" not in time_zone:
        return place
    return chosen((f"{place} time", f"{place} 시간"), language)


def time_text(at: datetime, time_zone: str, language: str) -> str:
    """The time that clocks there show, with its weekday and whose time it is."""
    local = at.astimezone(ZoneInfo(time_zone))
    zone = zone_text(time_zone, language)
    clock = f"{local:%H:%M}"
    if language == "ko":
        weekday = WEEKDAYS_KO[local.weekday()]
        return f"{local.year}년 {local.month}월 {local.day}일({weekday}) {clock} ({zone})"
    weekday, month = WEEKDAYS_EN[local.weekday()], MONTHS_EN[local.month - 1]
    return f"{weekday}, {local.day} {month} {local.year}, {clock} ({zone})"


def money_text(amount: int, currency: str, language: str) -> str:
    """55000 of KRW is ₩55,000 or 55,000원; 1050 of USD is USD 10.50."""
    if currency == "KRW":
        return f"{amount:,}원" if language == "ko" else f"₩{amount:,}"
    return f"{currency} {to_major(amount, currency):,.{exponent(currency)}f}"


def seat_lines(seats: Iterable[Labelled], language: str) -> list[str]:
    """One line per seat; places of a standing area are counted."""
    counted = Counter(_seat_text(seat, language) for seat in seats)
    return [text if count == 1 else f"{text} × {count}" for text, count in counted.items()]


def _seat_text(seat: Labelled, language: str) -> str:
    if not seat.row:
        place = seat.number if seat.number == seat.zone else f"{seat.zone} {seat.number}"
    elif language == "ko":
        place = f"{seat.zone} {_counted(seat.row, '열')} {_counted(seat.number, '번')}"
    else:
        place = f"{seat.zone}, row {seat.row}, seat {seat.number}"
    return f"{place} ({seat.category})"


def _counted(text: str, unit: str) -> str:
    """Many plans name a row `A열` themselves."""
    return text if text.endswith(unit) else f"{text}{unit}"
