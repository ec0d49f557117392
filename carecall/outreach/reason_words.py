"""Planning's reasons in words for people: Korean and English sentences with the next time on the person's own clock."""

from datetime import UTC, datetime

from carecall.domain.enrollment import Reason
from carecall.domain.language import Language
from carecall.outreach.local_days import known_zone

# The reason, and what to do or expect when no next time is known.
_REASONS = {
    Language.ENGLISH: {
        Reason.NO_CONSENT: ("Not called: no consent is recorded.", "Calls begin when it is."),
        Reason.OPTED_OUT: ("Not called: the person wants no more calls.", "That holds for good."),
        Reason.PAUSED: ("Not called: this person's calls are paused.", "They go on when the pause is lifted."),
        Reason.CAMPAIGN_PAUSED: ("Not called: the campaign is paused.", "Calls go on when it is resumed."),
        Reason.NOT_STARTED: ("Not called now: the period has not begun.", "No check is planned in it."),
        Reason.ENDED: ("Not called: the period is over.", "There is no further check."),
        Reason.NOT_DUE: ("Not called now: no check is due.", "No further check is planned."),
        Reason.OUTSIDE_HOURS: (
            "Not called now: outside the contact hours.",
            "No check fits into them: change the person's hours or the campaign's times.",
        ),
        Reason.HOLIDAY: ("Not called today: public holiday.", "There is no further check."),
        Reason.DAILY_CAP: ("Not called now: called often enough today.", "There is no further check."),
        Reason.TOO_LATE: ("Not called now: the time of this check has passed.", "There is no further check."),
        Reason.IN_A_CALL: ("Not called now: another call with this number is under way.", "It is tried later."),
        Reason.NO_NUMBER: ("Not called: no telephone number is recorded.", "Calls begin when it is."),
        Reason.UNKNOWN_TIME_ZONE: (
            "Not called: the person's time zone is not known.",
            "Set one such as Asia/Seoul or America/New_York.",
        ),
    },
    Language.KOREAN: {
        Reason.NO_CONSENT: ("전화하지 않습니다: 동의 기록이 없습니다.", "동의를 기록하면 시작됩니다."),
        Reason.OPTED_OUT: ("전화하지 않습니다: 본인이 수신을 거부했습니다.", "앞으로도 전화하지 않습니다."),
        Reason.PAUSED: ("전화하지 않습니다: 이 대상자의 전화가 일시 중지되었습니다.", "해제하면 다시 시작됩니다."),
        Reason.CAMPAIGN_PAUSED: (
            "전화하지 않습니다: 캠페인이 일시 중지되었습니다.",
            "다시 시작하면 전화가 이어집니다.",
        ),
        Reason.NOT_STARTED: ("아직 전화하지 않습니다: 기간이 시작되지 않았습니다.", "예정된 확인이 없습니다."),
        Reason.ENDED: ("전화하지 않습니다: 기간이 끝났습니다.", "더 이상 확인이 없습니다."),
        Reason.NOT_DUE: ("지금은 전화하지 않습니다: 확인할 시각이 아닙니다.", "더 예정된 확인이 없습니다."),
        Reason.OUTSIDE_HOURS: (
            "지금은 전화하지 않습니다: 연락 가능한 시간이 아닙니다.",
            "연락 시간에 맞는 확인이 없습니다. 대상자의 시간이나 캠페인의 시각을 바꾸세요.",
        ),
        Reason.HOLIDAY: ("오늘은 전화하지 않습니다: 공휴일입니다.", "더 이상 확인이 없습니다."),
        Reason.DAILY_CAP: (
            "지금은 전화하지 않습니다: 오늘 전화 횟수를 모두 썼습니다.",
            "더 이상 확인이 없습니다.",
        ),
        Reason.TOO_LATE: ("지금은 전화하지 않습니다: 이번 확인 시간이 지났습니다.", "더 이상 확인이 없습니다."),
        Reason.IN_A_CALL: (
            "지금은 전화하지 않습니다: 이 번호와 다른 통화가 진행 중입니다.",
            "잠시 뒤에 다시 시도합니다.",
        ),
        Reason.NO_NUMBER: ("전화하지 않습니다: 전화번호가 없습니다.", "번호를 기록하면 시작됩니다."),
        Reason.UNKNOWN_TIME_ZONE: (
            "전화하지 않습니다: 대상자의 시간대를 알 수 없습니다.",
            "Asia/Seoul과 같은 시간대를 지정하세요.",
        ),
    },
}
_NEXT = {Language.ENGLISH: "Next check {when}.", Language.KOREAN: "다음 확인: {when}."}
_CLOCK = {
    Language.ENGLISH: "{weekday} {day} {month_name} {time}",
    Language.KOREAN: "{month}월 {day}일({weekday}) {time}",
}
_WEEKDAYS = {
    Language.ENGLISH: ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    Language.KOREAN: tuple("월화수목금토일"),
}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def words(reason: Reason, look_again_at: datetime | None, time_zone: str, language: Language) -> str:
    """Why a person is not called, and the next time on the person's own clock, in a sentence or two for people."""
    sentence, mend = _REASONS[language][reason]
    if look_again_at is None:
        return f"{sentence} {mend}"
    return f"{sentence} {_NEXT[language].format(when=clock_words(look_again_at, time_zone, language))}"


def clock_words(moment: datetime, time_zone: str, language: Language) -> str:
    """A moment on somebody's own clock: ``Tue 24 Nov 09:30``; in UTC, and saying so, when the time zone is unknown."""
    zone = known_zone(time_zone)
    local = moment.astimezone(zone or UTC)
    said = _CLOCK[language].format(
        weekday=_WEEKDAYS[language][local.weekday()],
        day=local.day,
        month=local.month,
        month_name=_MONTHS[local.month - 1],
        time=f"{local:%H:%M}",
    )
    return said if zone else f"{said} UTC"
