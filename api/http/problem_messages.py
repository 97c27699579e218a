"""The words of every problem, in English and Korean.

Codes only ever get added: clients switch on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Words(NamedTuple):
    """A problem in one language."""

    title: str
    detail: str


class Kind(NamedTuple):
    """A kind of problem."""

    status: int
    en: Words
    ko: Words


def _kind(status: int, title: str, detail: str, title_ko: str, detail_ko: str) -> Kind:
    return Kind(status, Words(title, detail), Words(title_ko, detail_ko))


PROBLEMS: Mapping[str, Kind] = {
    # --- the request itself
    "malformed_json": _kind(
        400,
        "Malformed JSON",
        "The request body is not valid JSON.",
        "잘못된 JSON",
        "요청 본문이 올바른 JSON이 아닙니다.",
    ),
    "bad_request": _kind(
        400, "Bad request", "The request cannot be understood.", "잘못된 요청", "요청을 해석할 수 없습니다."
    ),
    "request_timeout": _kind(
        408,
        "Request timeout",
        "The request did not come in time.",
        "요청 시간 초과",
        "요청이 제시간에 도착하지 않았습니다.",
    ),
    "uri_too_long": _kind(
        414,
        "Address too long",
        "The address of the request is too long.",
        "너무 긴 주소",
        "요청 주소가 너무 깁니다.",
    ),
    "headers_too_large": _kind(
        431,
        "Headers too large",
        "The headers of the request are too large.",
        "너무 큰 헤더",
        "요청 헤더가 너무 큽니다.",
    ),
    "bad_signature": _kind(
        400,
        "Bad signature",
        "The signature does not match the body.",
        "잘못된 서명",
        "서명이 본문과 일치하지 않습니다.",
    ),
    "route_not_found": _kind(
        404, "No such route", "There is nothing at this address.", "없는 주소", "이 주소에는 아무것도 없습니다."
    ),
    "method_not_allowed": _kind(
        405,
        "Method not allowed",
        "This address does not take this method.",
        "허용되지 않는 메서드",
        "이 주소는 이 메서드를 지원하지 않습니다.",
    ),
    "body_too_large": _kind(
        413,
        "Body too large",
        "The request body is larger than this route takes.",
        "너무 큰 본문",
        "요청 본문이 이 주소가 받을 수 있는 크기를 넘었습니다.",
    ),
    "unsupported_media_type": _kind(
        415,
        "Unsupported media type",
        "Send the body as application/json, without a Content-Encoding.",
        "지원하지 않는 형식",
        "본문을 Content-Encoding 없이 application/json으로 보내 주세요.",
    ),
    "validation_failed": _kind(
        422,
        "Validation failed",
        "Some fields are missing or not valid; see errors.",
        "입력값 오류",
        "빠졌거나 올바르지 않은 항목이 있습니다. errors를 확인하세요.",
    ),
    "idempotency_key_reused": _kind(
        422,
        "Idempotency key reused",
        "This Idempotency-Key was used for a different request.",
        "멱등 키 재사용",
        "이 Idempotency-Key는 다른 요청에 이미 사용되었습니다.",
    ),
    "idempotency_in_progress": _kind(
        409,
        "Request in progress",
        "The first request with this Idempotency-Key is still running; send it again in a moment.",
        "처리 중인 요청",
        "같은 Idempotency-Key의 첫 요청이 아직 처리 중입니다. 잠시 후 다시 보내 주세요.",
    ),
    # --- who asks
    "unauthenticated": _kind(
        401,
        "Not logged in",
        "A valid access token is needed: log in and send it as Authorization: Bearer.",
        "로그인 필요",
        "유효한 액세스 토큰이 필요합니다. 로그인한 뒤 Authorization: Bearer로 보내 주세요.",
    ),
    "invalid_credentials": _kind(
        401,
        "Invalid credentials",
        "The e-mail or the password is not right.",
        "로그인 실패",
        "이메일 또는 비밀번호가 올바르지 않습니다.",
    ),
    "forbidden": _kind(
        403, "Forbidden", "Your role does not allow this.", "권한 없음", "이 작업을 할 수 있는 권한이 없습니다."
    ),
    "cross_site": _kind(
        403,
        "Not from our pages",
        "This address takes requests of this site's own pages only.",
        "허용되지 않는 출처",
        "이 주소는 이 사이트의 페이지에서 보낸 요청만 받습니다.",
    ),
    "account_locked": _kind(
        403,
        "Account locked",
        "This account has been locked: write to whoever sells here.",
        "잠긴 계정",
        "이용이 정지된 계정입니다. 고객 센터에 문의해 주세요.",
    ),
    "session_not_found": _kind(
        404,
        "No such session",
        "You have no session with this id.",
        "없는 세션",
        "해당 로그인 세션을 찾을 수 없습니다.",
    ),
    "link_expired": _kind(
        410,
        "Link expired",
        "This link was used already, or is too old: ask for a new one.",
        "만료된 링크",
        "이미 사용했거나 유효 기간이 지난 링크입니다. 새 링크를 요청해 주세요.",
    ),
    "email_taken": _kind(
        409,
        "E-mail taken",
        "There is an account with this e-mail already.",
        "이미 가입된 이메일",
        "이미 가입된 이메일입니다.",
    ),
    "account_not_found": _kind(
        404, "No such account", "There is no account with this id.", "없는 계정", "해당 계정을 찾을 수 없습니다."
    ),
    "last_administrator": _kind(
        409,
        "Last administrator",
        "Nobody else could administer: make somebody else an administrator first.",
        "마지막 관리자",
        "다른 관리자가 없습니다. 먼저 다른 계정을 관리자로 지정해 주세요.",
    ),
    "account_has_bookings": _kind(
        409,
        "Account has bookings",
        "The account cannot be deleted while it has live bookings, or performances still to be played.",
        "예매가 남아 있는 계정",
        "유효한 예매나 예정된 공연이 있는 동안에는 계정을 삭제할 수 없습니다.",
    ),
    "rate_limited": _kind(
        429,
        "Too many requests",
        "Slow down: try again after the time given.",
        "요청이 너무 많음",
        "요청이 너무 많습니다. 안내된 시간이 지난 뒤 다시 시도해 주세요.",
    ),
    # --- the house
    "internal_error": _kind(
        500,
        "Internal error",
        "Something went wrong on our side; it has been recorded.",
        "내부 오류",
        "서버에서 문제가 발생했습니다. 오류가 기록되었습니다.",
    ),
    "overloaded": _kind(
        503,
        "Overloaded",
        "The service is busy: try again after the time given.",
        "일시적인 과부하",
        "지금은 요청이 많습니다. 안내된 시간이 지난 뒤 다시 시도해 주세요.",
    ),
    "dependency_unavailable": _kind(
        503,
        "Temporarily unavailable",
        "A part of the service cannot be reached: try again after the time given.",
        "일시적인 장애",
        "서비스의 일부에 연결할 수 없습니다. 안내된 시간이 지난 뒤 다시 시도해 주세요.",
    ),
    "not_ready": _kind(
        503,
        "Not ready",
        "Some parts of the service are down; see checks.",
        "준비되지 않음",
        "서비스의 일부가 동작하지 않습니다. checks를 확인하세요.",
    ),
    # --- catalogue
    "catalogue_empty": _kind(
        404,
        "Nothing registered",
        "No performance has been registered yet.",
        "등록된 공연 없음",
        "아직 등록된 공연이 없습니다.",
    ),
    "venue_not_found": _kind(
        404, "No such venue", "There is no venue with this id.", "없는 공연장", "해당 공연장을 찾을 수 없습니다."
    ),
    "invalid_seating_plan": _kind(
        422,
        "Invalid seating plan",
        "The seating plan cannot be used; see errors.",
        "잘못된 좌석 배치도",
        "좌석 배치도를 사용할 수 없습니다. errors를 확인하세요.",
    ),
    "venue_in_use": _kind(
        409,
        "Seats are taken",
        "Somebody holds or owns seats that the new plan takes away or calls otherwise; see schedules.",
        "사용 중인 좌석",
        "새 배치도에서 사라지거나 바뀌는 좌석이 이미 선점되었거나 판매되었습니다. schedules를 확인하세요.",
    ),
    "performance_not_found": _kind(
        404,
        "No such performance",
        "There is no performance with this id.",
        "없는 공연",
        "해당 공연을 찾을 수 없습니다.",
    ),
    "performance_title_taken": _kind(
        409,
        "Title taken",
        "You have a performance with this title already.",
        "이미 있는 공연 제목",
        "같은 제목의 공연이 이미 등록되어 있습니다.",
    ),
    "performance_has_bookings": _kind(
        409,
        "Performance has bookings",
        "The performance has live bookings: cancel or refund them first.",
        "예매가 있는 공연",
        "유효한 예매가 있는 공연입니다. 먼저 취소하거나 환불해 주세요.",
    ),
    "schedule_not_found": _kind(
        404, "No such schedule", "There is no schedule with this id.", "없는 회차", "해당 회차를 찾을 수 없습니다."
    ),
    "schedule_conflict": _kind(
        409,
        "Schedule conflict",
        "The venue or the performance is taken at this time; see conflicts_with.",
        "일정 충돌",
        "같은 시간에 공연장 또는 공연 일정이 이미 있습니다. conflicts_with를 확인하세요.",
    ),
    "schedule_limit_reached": _kind(
        409,
        "Too many schedules",
        "So many schedules may be to come for one organizer, and no more; see limit.",
        "회차 한도 초과",
        "한 주최자가 열어 둘 수 있는 회차 수를 넘었습니다. limit을 확인하세요.",
    ),
    "terms_changed": _kind(
        409,
        "Changed by somebody else",
        "Somebody else changed the schedule at the same time: look at it, and try again.",
        "다른 변경과 충돌",
        "같은 회차가 동시에 변경되었습니다. 내용을 확인하고 다시 시도해 주세요.",
    ),
    "venue_not_shared": _kind(
        403,
        "Venue not shared",
        "The venue belongs to another organizer, who neither shares it nor has granted it to this one.",
        "공유되지 않은 공연장",
        "다른 주최자의 공연장이며, 공유되거나 사용이 허락되지 않았습니다.",
    ),
    "venue_grant_not_found": _kind(
        404,
        "No such grant",
        "There is no such grant, or it was taken back already.",
        "없는 사용 허락",
        "해당 사용 허락이 없거나 이미 취소되었습니다.",
    ),
    "venue_grant_limit_reached": _kind(
        409,
        "Too many grants",
        "A venue has no more grants than `limit`: take one back, or share the venue.",
        "사용 허락 한도 초과",
        "공연장마다 limit명까지만 허락할 수 있습니다. 하나를 취소하거나 공연장을 공유해 주세요.",
    ),
    "schedule_has_bookings": _kind(
        409,
        "Schedule has bookings",
        "The schedule has live bookings: cancel or refund them first.",
        "예매가 있는 회차",
        "유효한 예매가 있는 회차입니다. 먼저 취소하거나 환불해 주세요.",
    ),
    "schedule_cancelled": _kind(
        409,
        "Schedule cancelled",
        "This schedule has been cancelled; see at. What was paid is given back.",
        "취소된 회차",
        "취소된 회차입니다. at을 확인하세요. 결제하신 금액은 환불됩니다.",
    ),
    "schedule_not_cancelled": _kind(
        409,
        "Schedule not cancelled",
        "This schedule has not been cancelled.",
        "취소되지 않은 회차",
        "취소되지 않은 회차입니다.",
    ),
    # --- seats and bookings
    "seats_unavailable": _kind(
        409,
        "Seats unavailable",
        "Some of these seats are not free; see seats.",
        "선택할 수 없는 좌석",
        "이미 선택되었거나 판매된 좌석이 있습니다. seats를 확인하세요.",
    ),
    "not_enough_seats": _kind(
        409,
        "Not enough seats",
        "There are not so many seats left; see available.",
        "좌석 부족",
        "남은 좌석이 부족합니다. available을 확인하세요.",
    ),
    "unknown_seat": _kind(422, "Unknown seat", "This venue has no such seat", "없는 좌석", "공연장에 없는 좌석입니다"),
    "duplicate_seat": _kind(
        422, "Seat named twice", "A seat can be named only once", "중복된 좌석", "같은 좌석이 두 번 들어 있습니다"
    ),
    "unknown_category": _kind(
        422, "Unknown category", "This venue has no such category", "없는 등급", "공연장에 없는 좌석 등급입니다"
    ),
    "unknown_zone": _kind(422, "Unknown zone", "This venue has no such zone", "없는 구역", "공연장에 없는 구역입니다"),
    "invalid_quantity": _kind(
        422,
        "Invalid quantity",
        "So many seats cannot be booked at once; see limit",
        "잘못된 수량",
        "한 번에 예매할 수 없는 수량입니다. limit을 확인하세요",
    ),
    "sale_not_open": _kind(
        409,
        "Sale not open",
        "The sale has not opened yet; see at.",
        "판매 시작 전",
        "아직 예매가 시작되지 않았습니다. at을 확인하세요.",
    ),
    "sale_closed": _kind(
        409, "Sale closed", "The sale has closed; see at.", "판매 종료", "예매가 종료되었습니다. at을 확인하세요."
    ),
    "customer_limit_reached": _kind(
        409,
        "Limit reached",
        "You cannot have more seats for this schedule; see limit.",
        "1인 예매 한도 초과",
        "이 회차에서 더 예매할 수 없습니다. limit을 확인하세요.",
    ),
    "queue_pass_required": _kind(
        403,
        "Queue pass required",
        "This schedule has a waiting room: take a place in the queue first.",
        "대기열 입장 필요",
        "대기열이 있는 회차입니다. 먼저 대기열에 입장해 주세요.",
    ),
    "ticket_not_found": _kind(
        404,
        "No such queue ticket",
        "There is no queue ticket with this id.",
        "없는 대기표",
        "해당 대기표를 찾을 수 없습니다.",
    ),
    "queue_turn_over": _kind(
        410,
        "Turn over",
        "The turn that this ticket stood for is over: join the queue again.",
        "지난 차례",
        "이 대기표의 차례가 지났습니다. 대기열에 다시 등록해 주세요.",
    ),
    "booking_not_found": _kind(
        404, "No such booking", "You have no booking with this id.", "없는 예매", "해당 예매를 찾을 수 없습니다."
    ),
    "booking_already_cancelled": _kind(
        409, "Already cancelled", "This booking was cancelled already.", "이미 취소된 예매", "이미 취소된 예매입니다."
    ),
    "booking_transferred": _kind(
        409,
        "Handed on",
        "The seats of this booking are somebody else's now.",
        "양도된 예매",
        "이 예매의 좌석은 다른 고객에게 양도되었습니다.",
    ),
    "transfer_not_allowed": _kind(
        409,
        "Cannot be handed on",
        "These seats cannot be handed on; reason says why (not_allowed: by the organizer; begun, schedule_cancelled,"
        " checked_in, or what the booking is). Without one they are being handed on already, or are not the booking's.",
        "양도할 수 없는 좌석",
        "양도할 수 없는 좌석입니다. reason(not_allowed: 주최자가 허용하지 않음, begun, schedule_cancelled, checked_in,"
        " 또는 예매 상태)을 확인하세요. reason이 없으면 이미 양도 중이거나 이 예매의 좌석이 아닙니다.",
    ),
    "transfer_not_found": _kind(
        404,
        "No such offer",
        "There is no such offer to you, or of yours.",
        "없는 양도",
        "해당 양도 제안을 찾을 수 없습니다.",
    ),
    "transfer_ended": _kind(
        409,
        "Offer is over",
        "This offer was accepted, declined or taken back, or is too old; see transfer_status.",
        "종료된 양도",
        "이미 수락·거절·철회되었거나 기한이 지난 양도 제안입니다. transfer_status를 확인하세요.",
    ),
    "booking_expired": _kind(
        409,
        "Booking expired",
        "The time to pay for this booking is over; its seats are free again.",
        "만료된 예매",
        "결제 시간이 지나 예매가 만료되었습니다.",
    ),
    "booking_paid": _kind(
        409,
        "Booking paid",
        "A paid booking is not cancelled but refunded; see refund_url.",
        "결제된 예매",
        "결제된 예매는 취소할 수 없습니다. refund_url에서 환불해 주세요.",
    ),
    "booking_not_confirmed": _kind(
        409,
        "Booking not confirmed",
        "Only a booking that is paid for, and has its seats still, has a ticket; reason says what it is instead.",
        "확정되지 않은 예매",
        "결제가 완료되어 좌석을 보유한 예매에만 티켓이 있습니다. 현재 상태는 reason을 확인하세요.",
    ),
    "booking_already_paid": _kind(
        409, "Already paid", "This booking is paid already.", "이미 결제된 예매", "이미 결제된 예매입니다."
    ),
    "booking_not_changeable": _kind(
        409,
        "Booking not changeable",
        "This booking cannot be changed like that; reason says why (other_price: what is paid for can be exchanged for"
        " seats that cost the same; other_date: what is paid for, or another customer's, stays on its date: book on the"
        " other one, then give these seats back; not_held: what was held for it on the other date is held no longer, so"
        " ask with a new key; longest: nobody may hold it beyond at; paid, begun, checked_in).",
        "변경할 수 없는 예매",
        "변경할 수 없는 예매입니다. reason(other_price: 같은 금액의 좌석으로만 교환 가능, other_date: 결제한 예매와"
        " 다른 고객의 예매는 회차를 옮길 수 없으므로 새 회차를 예매한 뒤 이 좌석을 환불, not_held: 새 회차의 선점이"
        " 이미 끝났으므로 새 키로 다시 요청, longest: at 이후 연장 불가, paid, begun, checked_in)을 확인하세요.",
    ),
    "booking_live": _kind(
        409,
        "Booking still live",
        "This booking owns seats: cancel it first.",
        "유효한 예매",
        "좌석을 보유하고 있는 예매입니다. 먼저 취소해 주세요.",
    ),
    "cancellation_not_found": _kind(
        404,
        "No such cancellation",
        "This booking has no cancellation.",
        "없는 취소 내역",
        "해당 취소 내역을 찾을 수 없습니다.",
    ),
    # --- the door
    "check_in_not_found": _kind(
        404,
        "No such check-in",
        "Nobody was let in under this id, or not at your door.",
        "없는 입장 기록",
        "해당 입장 기록을 찾을 수 없습니다.",
    ),
    "door_staff_not_found": _kind(
        404,
        "No such door link",
        "There is no such link, or it was taken back already.",
        "없는 입장 담당 링크",
        "해당 링크가 없거나 이미 회수되었습니다.",
    ),
    # --- money
    "payment_required": _kind(
        402, "Payment required", "This booking has to be paid for.", "결제 필요", "결제가 필요한 예매입니다."
    ),
    "payment_declined": _kind(
        402,
        "Payment declined",
        "The payment was declined; see reason. The seats stay yours until the hold ends.",
        "결제 거절",
        "결제가 거절되었습니다. reason을 확인하세요. 좌석은 선점 시간이 끝날 때까지 유지됩니다.",
    ),
    "payment_in_progress": _kind(
        409,
        "Payment in progress",
        "A payment for this booking is under way.",
        "결제 진행 중",
        "이 예매의 결제가 진행 중입니다.",
    ),
    "payment_not_found": _kind(
        404, "No such payment", "You have no payment with this id.", "없는 결제", "해당 결제를 찾을 수 없습니다."
    ),
    "payment_already_settled": _kind(
        409,
        "Payment settled",
        "The outcome of this payment is known already.",
        "완료된 결제",
        "이미 결과가 확정된 결제입니다.",
    ),
    "not_refundable": _kind(
        409,
        "Not refundable",
        "This payment cannot be refunded: it is too late (at is the last moment when it could have been), it was never"
        " settled, the seats named are not its booking's, or reason says why: somebody has come in on the ticket"
        " (checked_in), the seats were handed on (handed_on), or the booking was ended and the money kept (kept).",
        "환불 불가",
        "환불할 수 없는 결제입니다. 환불 기한(at)이 지났거나, 완료되지 않은 결제이거나, 이 예매의 좌석이 아닙니다."
        " reason이 있으면 checked_in은 이미 입장한 티켓, handed_on은 양도한 좌석, kept는 환불 없이 종료된 예매입니다.",
    ),
    "already_refunded": _kind(
        409, "Already refunded", "This payment was refunded already.", "이미 환불됨", "이미 환불된 결제입니다."
    ),
    "notification_not_found": _kind(
        404,
        "No such notification",
        "There is no notification with this id.",
        "없는 알림",
        "이 id의 알림을 찾을 수 없습니다.",
    ),
    "notification_not_retryable": _kind(
        409,
        "Notification not retryable",
        "Only a notification that failed, or of which nobody knows whether it arrived, can be sent again.",
        "다시 보낼 수 없는 알림",
        "실패했거나 도착 여부를 알 수 없는 알림만 다시 보낼 수 있습니다.",
    ),
    "parked_event_not_found": _kind(
        404,
        "No such parked event",
        "This event is not parked for this service.",
        "보류된 이벤트 없음",
        "이 서비스에 보류된 이벤트가 아닙니다.",
    ),
    "refund_not_found": _kind(
        404, "No such refund", "There is no refund with this id.", "없는 환불", "해당 환불을 찾을 수 없습니다."
    ),
    "provider_not_found": _kind(
        404,
        "No such provider",
        "There is no payment provider with this name.",
        "없는 결제사",
        "해당 결제사를 찾을 수 없습니다.",
    ),
}
