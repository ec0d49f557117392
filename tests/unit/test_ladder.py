"""The ladder: every way an attempt may end leads to another try, to a human or to the end, and never in circles."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carecall.domain.campaign import DEFAULT_LADDER, Ending, HumanStep, Ladder, TaskKind
from carecall.domain.enrollment import Close, HandOver, PastAttempt, TryAgain
from carecall.outreach.ladder import NEVER_PLACED_AT_MOST, next_step

_DUE = datetime(2026, 3, 2, 10, tzinfo=UTC)
_FINAL = {Ending.REACHED, Ending.OPTED_OUT}

ladders = st.builds(
    Ladder,
    attempts=st.integers(1, 6),
    retry_after=st.dictionaries(
        st.sampled_from(sorted(set(Ending) - _FINAL)), st.timedeltas(timedelta(), timedelta(hours=3))
    ),
    then=st.just((HumanStep(TaskKind.CALL, timedelta(hours=4)),)),
)


def _after(*endings: Ending, ladder: Ladder = DEFAULT_LADDER, each: timedelta = timedelta(minutes=1)) -> object:
    past = [PastAttempt(number, ending, _DUE + number * each) for number, ending in enumerate(endings, 1)]
    return next_step(ladder, past, _DUE + len(endings) * each)


def test_a_slot_without_attempts_is_tried_at_once() -> None:
    assert _after() == TryAgain(_DUE)


@pytest.mark.parametrize(
    ("ending", "minutes"),
    [
        (Ending.BUSY, 10),
        (Ending.NO_ANSWER, 30),
        (Ending.MACHINE, 60),
        (Ending.FAILED, 15),
        (Ending.NOT_PLACED, 2),
        (Ending.HUNG_UP, 10),
        (Ending.SILENT, 10),
        (Ending.CALL_LATER, 60),
        (Ending.INTERRUPTED, 2),
    ],
)
def test_each_ending_waits_its_own_time(ending: Ending, minutes: int) -> None:
    assert _after(ending) == TryAgain(_DUE + timedelta(minutes=1 + minutes))


@pytest.mark.parametrize("ending", [Ending.BAD_NUMBER, Ending.WRONG_PERSON])
def test_a_wrong_number_is_for_a_human_at_once(ending: Ending) -> None:
    assert _after(ending) == HandOver(ending)


def test_a_bad_number_is_not_tried_again_even_when_the_ladder_says_so() -> None:
    ladder = Ladder(3, {Ending.BAD_NUMBER: timedelta(minutes=1)}, ())
    assert _after(Ending.BAD_NUMBER, ladder=ladder) == HandOver(Ending.BAD_NUMBER)


def test_three_unanswered_calls_are_handed_over() -> None:
    assert isinstance(_after(Ending.BUSY, Ending.NO_ANSWER), TryAgain)
    assert _after(Ending.BUSY, Ending.NO_ANSWER, Ending.NO_ANSWER) == HandOver(Ending.NO_ANSWER)


def test_reaching_the_person_closes_the_slot() -> None:
    assert _after(Ending.NO_ANSWER, Ending.REACHED) == Close(True, Ending.REACHED)


def test_an_opt_out_closes_the_slot_though_nobody_was_reached() -> None:
    assert _after(Ending.NO_ANSWER, Ending.OPTED_OUT) == Close(False, Ending.OPTED_OUT)


def test_a_call_that_was_never_placed_does_not_use_up_the_ladder() -> None:
    assert isinstance(_after(Ending.NO_ANSWER, Ending.NOT_PLACED, Ending.NOT_PLACED, Ending.NO_ANSWER), TryAgain)


def test_calls_that_are_never_placed_end_with_a_human() -> None:
    assert isinstance(_after(*[Ending.NOT_PLACED] * (NEVER_PLACED_AT_MOST - 1)), TryAgain)
    assert _after(*[Ending.NOT_PLACED] * NEVER_PLACED_AT_MOST) == HandOver(Ending.NOT_PLACED)


@given(ladders, st.data())
def test_every_ladder_ends(ladder: Ladder, data: st.DataObject) -> None:
    past: list[PastAttempt] = []
    now = _DUE
    while isinstance(step := next_step(ladder, past, now), TryAgain):
        assert len(past) <= ladder.attempts * NEVER_PLACED_AT_MOST
        now = step.at + data.draw(st.timedeltas(timedelta(), timedelta(minutes=20)))
        past.append(PastAttempt(len(past) + 1, data.draw(st.sampled_from(Ending)), now))
    assert sum(attempt.ending is not Ending.NOT_PLACED for attempt in past) <= ladder.attempts
    assert isinstance(step, Close) == (past[-1].ending in _FINAL)


@given(ladders, st.lists(st.sampled_from(sorted(Ending)), min_size=1, max_size=8), st.timedeltas(timedelta(0)))
def test_no_try_comes_before_its_interval_or_before_now(ladder: Ladder, endings: list[Ending], late: timedelta) -> None:
    past = [PastAttempt(number, ending, _DUE) for number, ending in enumerate(endings, 1)]
    late = min(late, timedelta(days=30))
    step = next_step(ladder, past, _DUE + late)
    if isinstance(step, TryAgain):
        assert step.at >= _DUE + ladder.retry_after[endings[-1]]
        assert step.at >= _DUE + late


@given(ladders, st.lists(st.sampled_from(sorted(Ending)), max_size=8), st.integers(0, 86_400), st.integers(0, 86_400))
def test_looking_later_gives_the_same_step_not_an_earlier_one(
    ladder: Ladder, endings: list[Ending], first_s: int, more_s: int
) -> None:
    past = [PastAttempt(number, ending, _DUE) for number, ending in enumerate(endings, 1)]
    early = next_step(ladder, past, _DUE + timedelta(seconds=first_s))
    late = next_step(ladder, past, _DUE + timedelta(seconds=first_s + more_s))
    if isinstance(early, TryAgain):
        assert isinstance(late, TryAgain)
        assert late.at >= early.at
    else:
        assert late == early
