"""The ladder: what follows the attempts of a slot so far. Another try, a human, or the end."""

from collections.abc import Sequence
from datetime import datetime

from carecall.domain.campaign import Ending, Ladder
from carecall.domain.enrollment import Close, HandOver, LadderStep, PastAttempt, TryAgain

NEVER_PLACED_AT_MOST = 5  # in a row; then somebody looks why


def next_step(ladder: Ladder, attempts: Sequence[PastAttempt], now: datetime) -> LadderStep:
    """The step after the attempts of a slot, given in order of their numbers.

    An attempt that never let a telephone ring does not count towards the ladder's attempts. A number that cannot be
    called is never tried again, whatever the ladder says.
    """
    if not attempts:
        return TryAgain(now)
    endings = [attempt.ending for attempt in attempts]
    for ending in (Ending.OPTED_OUT, Ending.REACHED):
        if ending in endings:
            return Close(ending is Ending.REACHED, ending)
    last = attempts[-1]
    interval = ladder.retry_after.get(last.ending)
    if interval is None or last.ending is Ending.BAD_NUMBER:
        return HandOver(last.ending)
    rang = sum(ending is not Ending.NOT_PLACED for ending in endings)
    never_placed = endings[-NEVER_PLACED_AT_MOST:].count(Ending.NOT_PLACED) == NEVER_PLACED_AT_MOST
    if rang >= ladder.attempts or never_placed:
        return HandOver(last.ending)
    return TryAgain(max(now, last.ended_at + interval))
