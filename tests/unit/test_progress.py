"""Messages about a call are folded: late, twice, out of order or never, the dial ends as it ended."""

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carecall.domain.attempt import AttemptState
from carecall.domain.campaign import Ending
from carecall.domain.progress import (
    AnsweredBy,
    CallFailure,
    CallProgress,
    CallStatus,
    DialRecord,
    ending_of,
    fold,
)
from carecall.domain.report import Outcome

NOW = datetime(2026, 5, 4, 1, tzinfo=UTC)
ATTEMPT = uuid.UUID(int=1)
DIALING = DialRecord(AttemptState.DIALING, "CA1")
TALKING = DialRecord(AttemptState.IN_PROGRESS, "CA1", sequence=2, answered_at=NOW)


def said(
    status: CallStatus | None,
    sequence: int | None = None,
    *,
    by: AnsweredBy | None = None,
    call_sid: str = "CA1",
    failure: CallFailure | None = None,
) -> CallProgress:
    return CallProgress(ATTEMPT, call_sid, status, sequence, by, failure=failure)


def after(record: DialRecord, *messages: CallProgress) -> DialRecord:
    for number, message in enumerate(messages):
        record = fold(record, message, NOW + timedelta(seconds=number))
    return record


class TestTheWayOfACall:
    def test_an_answered_call_stays_ringing_until_its_stream_opens(self) -> None:
        record = after(DIALING, said(CallStatus.INITIATED, 0), said(CallStatus.RINGING, 1))
        assert record.state is AttemptState.RINGING
        record = fold(record, said(CallStatus.IN_PROGRESS, 2), NOW)
        assert (record.state, record.answered_at) == (AttemptState.RINGING, NOW)

    @pytest.mark.parametrize(
        ("status", "state", "ending"),
        [
            (CallStatus.BUSY, AttemptState.BUSY, Ending.BUSY),
            (CallStatus.NO_ANSWER, AttemptState.NO_ANSWER, Ending.NO_ANSWER),
            (CallStatus.CANCELED, AttemptState.FAILED, Ending.FAILED),
            (CallStatus.FAILED, AttemptState.FAILED, Ending.FAILED),
            (CallStatus.COMPLETED, AttemptState.COMPLETED, Ending.HUNG_UP),
        ],
    )
    def test_a_call_that_never_became_a_talk_ends_as_the_provider_says(
        self, status: CallStatus, state: AttemptState, ending: Ending
    ) -> None:
        record = fold(DIALING, said(status, 3), NOW)
        assert (record.state, record.ended_at, record.line_ended_at) == (state, NOW, NOW)
        assert ending_of(record) is ending

    @pytest.mark.parametrize("status", [status for status in CallStatus if status.terminal])
    def test_a_talk_is_ended_by_the_voice_side_not_by_the_line(self, status: CallStatus) -> None:
        record = fold(TALKING, said(status, 3), NOW)
        assert record == replace(TALKING, sequence=3, line_ended_at=NOW)

    def test_the_id_of_the_call_is_learnt_from_the_first_message(self) -> None:
        record = fold(DialRecord(AttemptState.DIALING), said(CallStatus.RINGING, 1, call_sid="CA7"), NOW)
        assert record.call_sid == "CA7"

    def test_a_message_of_another_call_changes_nothing(self) -> None:
        assert fold(DIALING, said(CallStatus.BUSY, 1, call_sid="CA2"), NOW) == DIALING

    def test_an_attempt_that_was_not_dialed_has_no_call(self) -> None:
        planned = DialRecord(AttemptState.PLANNED)
        assert fold(planned, said(CallStatus.RINGING, 1), NOW) == planned


class TestOrder:
    def test_an_older_message_changes_nothing(self) -> None:
        record = fold(DIALING, said(CallStatus.RINGING, 2), NOW)
        assert fold(record, said(CallStatus.BUSY, 1), NOW) == record

    def test_our_own_look_counts_where_it_moves_forward(self) -> None:
        record = fold(DIALING, said(CallStatus.RINGING, 1), NOW)
        assert fold(record, said(CallStatus.QUEUED), NOW) == record
        ended = fold(record, said(CallStatus.NO_ANSWER), NOW)
        assert (ended.state, ended.sequence) == (AttemptState.NO_ANSWER, 1)

    def test_a_look_that_is_overtaken_does_not_wake_an_ended_call(self) -> None:
        ended = fold(DIALING, said(CallStatus.BUSY, 2), NOW)
        assert fold(ended, said(CallStatus.RINGING), NOW) == ended

    @pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
    def test_in_any_order_and_twice_the_end_is_the_same(self, order: tuple[int, ...]) -> None:
        messages = [
            said(CallStatus.INITIATED, 0),
            said(CallStatus.RINGING, 1),
            said(CallStatus.IN_PROGRESS, 2),
            said(CallStatus.COMPLETED, 3),
        ]
        record = after(DIALING, *(messages[index] for index in order for _ in range(2)))
        assert (record.state, record.sequence, record.outcome) == (AttemptState.COMPLETED, 3, Outcome.HUNG_UP)


class TestWhoAnswered:
    @pytest.mark.parametrize("record", [DIALING, replace(DIALING, state=AttemptState.RINGING), TALKING])
    @pytest.mark.parametrize("by", [who for who in AnsweredBy if who.machine])
    def test_a_machine_ends_a_live_call(self, record: DialRecord, by: AnsweredBy) -> None:
        ended = fold(record, said(None, by=by), NOW)
        assert (ended.state, ended.ended_at, ended.line_ended_at) == (AttemptState.MACHINE, NOW, None)
        assert ending_of(ended) is Ending.MACHINE

    @pytest.mark.parametrize("by", [AnsweredBy.HUMAN, AnsweredBy.UNKNOWN])
    def test_whoever_is_not_surely_a_machine_is_talked_to(self, by: AnsweredBy) -> None:
        assert fold(TALKING, said(None, by=by), NOW) == replace(TALKING, answered_by=by)

    def test_a_machine_that_hung_up_before_it_was_known_for_one_is_a_machine_to_the_ladder(self) -> None:
        record = after(DIALING, said(CallStatus.COMPLETED, 3), said(None, by=AnsweredBy.MACHINE_START))
        assert record.state is AttemptState.COMPLETED
        assert ending_of(record) is Ending.MACHINE

    def test_the_end_of_a_line_to_a_machine_is_noted(self) -> None:
        record = after(TALKING, said(None, by=AnsweredBy.MACHINE_END_BEEP), said(CallStatus.COMPLETED, 3))
        assert record.line_ended_at == NOW + timedelta(seconds=1)

    def test_a_talk_that_took_place_counts_for_more_than_a_machine_that_was_heard(self) -> None:
        talked = replace(TALKING, state=AttemptState.MACHINE, ended_at=NOW, outcome=Outcome.COMPLETED)
        assert ending_of(talked) is Ending.REACHED


class TestEndings:
    @pytest.mark.parametrize(
        ("failure", "ending"),
        [
            (CallFailure.BAD_NUMBER, Ending.BAD_NUMBER),
            (CallFailure.BLOCKED, Ending.BAD_NUMBER),
            (CallFailure.CARRIER, Ending.FAILED),
            (CallFailure.LIMIT, Ending.NOT_PLACED),
            (CallFailure.ACCOUNT, Ending.NOT_PLACED),
            (CallFailure.NOT_PLACED, Ending.NOT_PLACED),
        ],
    )
    def test_a_failure_says_whether_to_try_again(self, failure: CallFailure, ending: Ending) -> None:
        assert ending_of(fold(DIALING, said(CallStatus.FAILED, 1, failure=failure), NOW)) is ending

    @pytest.mark.parametrize("outcome", Outcome)
    def test_every_outcome_of_a_talk_is_an_ending(self, outcome: Outcome) -> None:
        reached = outcome in (Outcome.COMPLETED, Outcome.EMERGENCY, Outcome.SAID_GOODBYE)
        ending = ending_of(replace(TALKING, state=AttemptState.COMPLETED, ended_at=NOW, outcome=outcome))
        assert ending.value == ("reached" if reached else outcome.value)


MESSAGES = st.builds(
    said,
    st.none() | st.sampled_from(CallStatus),
    st.none() | st.integers(0, 5),
    by=st.none() | st.sampled_from(AnsweredBy),
    call_sid=st.sampled_from(["CA1", "CA2"]),
    failure=st.none() | st.sampled_from(CallFailure),
)
LIVE = st.sampled_from([DIALING, replace(DIALING, call_sid=None), TALKING])


class TestWhateverComes:
    @given(LIVE, st.lists(MESSAGES, max_size=8))
    def test_an_end_is_final_and_dated(self, record: DialRecord, messages: list[CallProgress]) -> None:
        for message in messages:
            before, record = record, fold(record, message, NOW)
            assert (record.ended_at is not None) == record.state.terminal
            assert record.sequence >= before.sequence
            if before.state.terminal:
                assert (record.state, record.ended_at, record.failure) == (
                    before.state,
                    before.ended_at,
                    before.failure,
                )
            if before.call_sid is not None:
                assert record.call_sid == before.call_sid
            if record.state.terminal:
                ending_of(record)

    @given(LIVE, st.lists(MESSAGES, max_size=8), MESSAGES)
    def test_a_message_that_comes_twice_counts_once(
        self, record: DialRecord, messages: list[CallProgress], again: CallProgress
    ) -> None:
        once = fold(after(record, *messages), again, NOW)
        assert fold(once, again, NOW) == once
