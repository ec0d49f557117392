"""One attempt, from its place on the line to what follows it: place the call, follow it to its end, conclude.

Each step reads the store first and may be repeated: after a crash the attempt is carried on from wherever it was left.
A call whose outcome is unknown is looked for at the provider and never dialed again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from opentelemetry import metrics, trace

from carecall.domain.attempt import AttemptState
from carecall.domain.enrollment import Enrolled, NotYet
from carecall.domain.progress import CallFailure, CallProgress, CallStatus
from carecall.errors import DialError, StoreError, StoreUnavailable
from carecall.outreach import ladder, planning
from carecall.outreach.dialer import Dialer, DialRefused, DialRequest
from carecall.settings import Settings
from carecall.store import Store
from carecall.store.outreach import Followed, Fresh, NotNow, Over, Placed, Unknown

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)
_meter = metrics.get_meter("carecall.outreach")
_tracer = trace.get_tracer("carecall.outreach")
_attempts = _meter.create_counter("carecall.attempts", description="attempts that ended, by outcome")
_due_to_dial = _meter.create_histogram("carecall.due_to_dial", "s", "from a check's due time to its first dial")
_request = _meter.create_histogram("carecall.dial_request", "s", "how long the provider took to make a call")
_under_way = _meter.create_up_down_counter("carecall.calls_under_way", description="attempts that are carried")
_reconciled = _meter.create_counter("carecall.reconciled", description="calls of unknown outcome, by what was found")

_NOBODY_HAS_A_LINE = (AttemptState.PLANNED, AttemptState.BUSY, AttemptState.NO_ANSWER, AttemptState.FAILED)
_REFUSED = {
    CallFailure.ACCOUNT: "check the account's credentials, balance, caller number and permissions",
    CallFailure.LIMIT: "CARECALL_CALLS_PER_SECOND or CARECALL_CALLS_AT_ONCE may be above the account's limits",
    CallFailure.NOT_PLACED: "it cannot be reached; is there a network?",
}
_BRIEFLY = (CallFailure.NOT_PLACED,)  # a network that is away may be back in a moment


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take and how often they are looked at, in seconds."""

    tick_s: float = 2.0
    queue_s: float = 0.5  # between two looks for an attempt to be carried
    look_s: float = 1.0  # between two looks at a call under way
    request_s: float = 10.0  # the dialer's deadline
    fence_s: float = 5.0  # later than so after its reserved moment a call is not made
    find_again_s: float = 5.0  # the provider's list may lag behind
    quiet_s: float = 20.0  # without news of a call; then the provider is asked
    orphan_s: float = 5.0  # the same for a call whose holder is gone
    report_s: float = 30.0  # for the report, after the telephone call is over
    linger_s: float = 20.0  # a call may last so long after its talk; then it is ended
    voicemail_s: float = 60.0  # the same for a machine, to which a line is said
    refused_s: float = 60.0  # the line rests so long after a refusal, and twice as long after each further one
    silent_s: float = 20.0  # a worker without a sign of life for so long is gone

    @property
    def unknown_s(self) -> float:
        """After its reserved moment, until the request can no longer be under way."""
        return self.fence_s + self.request_s


class Line:
    """The provider's willingness: after a refusal the line rests, and then one call at a time tries it."""

    def __init__(self, rest_s: float) -> None:
        self._rest_s = rest_s
        self._refusals = 0
        self._opens_at = 0.0
        self._one = asyncio.Lock()

    @property
    def rests(self) -> bool:
        return self._refusals > 0

    async def turn(self) -> None:
        """Waits until a call may be tried; ``pass_on`` after it."""
        await self._one.acquire()
        try:
            if self.rests:
                await asyncio.sleep(self._opens_at - asyncio.get_running_loop().time())
        except BaseException:
            self._one.release()
            raise

    def pass_on(self) -> None:
        self._one.release()

    def refused(self, refusal: DialRefused) -> None:
        """Rests the line when it is not about this one number."""
        mend, now = _REFUSED.get(refusal.failure), asyncio.get_running_loop().time()
        if mend is None:
            self._refusals = 0
            return
        if now < self._opens_at:
            return  # sent before the line rested
        rest_s = self._rest_s * 2 ** min(self._refusals, 4) / (12 if refusal.failure in _BRIEFLY else 1)
        self._refusals += 1
        self._opens_at = now + rest_s
        logger.error(
            "the telephone provider refuses calls (%s): %s. No call is made for %.0f s.", refusal.failure, mend, rest_s
        )

    def accepted(self) -> None:
        self._refusals = 0


class Dialing:
    """Carries attempts. Ends only with the attempt, or cancelled."""

    def __init__(self, settings: Settings, store: Store, dialer: Dialer, pace: Pace) -> None:
        self._settings = settings
        self._store = store
        self._dialer = dialer
        self._pace = pace
        self._line = Line(pace.refused_s)
        self._news: dict[UUID, asyncio.Event] = {}
        self._waiting: set[asyncio.Task[Any]] = set()  # for the line
        self._stopped = False

    def notice(self, attempt_id: UUID) -> None:
        """There is news of an attempt: it is looked at without waiting."""
        if news := self._news.get(attempt_id):
            news.set()

    def stop(self) -> None:
        """Begins no call any more: attempts that are still to be dialed are let go of, cancelled."""
        self._stopped = True
        for task in self._waiting:
            task.cancel()

    async def carry(self, attempt_id: UUID) -> None:
        """Takes an attempt from wherever it is to its end and concludes it."""
        self._news[attempt_id] = asyncio.Event()
        _under_way.add(1)
        rest_s = 1.0
        try:
            while True:
                try:
                    await self._carry(attempt_id)
                    return
                except Exception:
                    logger.exception("an attempt failed and is taken up again", extra={"attempt_id": attempt_id})
                    await asyncio.sleep(rest_s)
                    rest_s = min(2 * rest_s, 60.0)
        finally:
            _under_way.add(-1)
            del self._news[attempt_id]

    async def _carry(self, attempt_id: UUID) -> None:
        attributes = {"attempt_id": str(attempt_id)}
        with _tracer.start_as_current_span("place", attributes=attributes):
            if not await self._place(attempt_id):
                return
        with _tracer.start_as_current_span("follow", attributes=attributes):
            state = await self._follow(attempt_id)
        with _tracer.start_as_current_span("conclude", attributes=attributes):
            await self._conclude(attempt_id, state)

    async def _place(self, attempt_id: UUID) -> bool:
        """Whether there is something to follow; not when the person may not be called now."""
        if (self._stopped or self._line.rests) and await self._is_planned(attempt_id):
            if self._stopped:
                raise asyncio.CancelledError
            with self._waits():
                await self._line.turn()
            try:
                return await self._begin(attempt_id)
            finally:
                self._line.pass_on()
        return await self._begin(attempt_id)

    @contextmanager
    def _waits(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            yield
        finally:
            self._waiting.discard(task)

    async def _begin(self, attempt_id: UUID) -> bool:
        begin = self._store.outreach.begin_dial
        match await self._kept(begin, attempt_id, _may_dial, spacing_s=1 / self._settings.calls_per_second):
            case Fresh(to, at):
                await self._dial(attempt_id, to, at)
            case Unknown(to, since):
                await self._reconcile(attempt_id, to, since)
            case Placed(call_sid):
                await self._ask(attempt_id, call_sid)  # callbacks may have been missed
            case Over():
                self.notice(attempt_id)
                return await self._is_kept(attempt_id)
            case NotNow(reason):
                logger.info("not called now: %s", reason, extra={"attempt_id": attempt_id})
                return False
        return True

    async def _is_planned(self, attempt_id: UUID) -> bool:
        return await self._is_kept(attempt_id) and (await self._followed(attempt_id)).state is AttemptState.PLANNED

    async def _is_kept(self, attempt_id: UUID) -> bool:
        """Whether there is the attempt; a planned one that is no longer wanted is removed."""
        try:
            await self._followed(attempt_id)
        except StoreError:
            return False
        return True

    async def _dial(self, attempt_id: UUID, to: str, at: datetime) -> None:
        outreach = self._store.outreach
        await _until(at)
        if _now() > at + timedelta(seconds=self._pace.fence_s):
            await self._not_placed(attempt_id, CallFailure.NOT_PLACED)
            return
        request = DialRequest(attempt_id, to, self._settings.ring_s, self._settings.longest_call_s)
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._pace.request_s):
                call_sid = await self._dialer.place(request)
        except DialRefused as refusal:
            self._line.refused(refusal)
            await self._not_placed(attempt_id, refusal.failure)
        except (DialError, TimeoutError):
            await self._reconcile(attempt_id, to, at)
        else:
            self._line.accepted()
            await self._kept(outreach.placed, attempt_id, call_sid)
        finally:
            _request.record(asyncio.get_running_loop().time() - began)

    async def _reconcile(self, attempt_id: UUID, to: str, since: datetime) -> None:
        """Finds out whether the call was made, once the request can no longer be under way."""
        await _until(since + timedelta(seconds=self._pace.unknown_s))
        outreach, rest_s = self._store.outreach, self._pace.look_s
        empty = 0
        while empty < 2:
            followed = await self._followed(attempt_id)
            if followed.call_sid or followed.state is not AttemptState.DIALING:
                _reconciled.add(1, {"outcome": "called_back"})
                return
            try:
                async with asyncio.timeout(self._pace.request_s):
                    calls = await self._dialer.find(to, since - timedelta(seconds=2))
            except (DialError, TimeoutError):
                logger.warning("a call cannot be looked for yet: asking again", extra={"attempt_id": attempt_id})
                await asyncio.sleep(rest_s)
                rest_s = min(2 * rest_s, 30.0)
                continue
            if unclaimed := await self._kept(outreach.unclaimed, [call.call_sid for call in calls]):
                await self._kept(outreach.placed, attempt_id, unclaimed[0])
                await self._ask(attempt_id, unclaimed[0])
                _reconciled.add(1, {"outcome": "found"})
                return
            empty += 1
            if empty < 2:
                await asyncio.sleep(self._pace.find_again_s)
        await self._not_placed(attempt_id, CallFailure.NOT_PLACED)
        _reconciled.add(1, {"outcome": "never_placed"})

    async def _not_placed(self, attempt_id: UUID, failure: CallFailure) -> None:
        await self._kept(self._store.outreach.not_placed, attempt_id, failure)
        self.notice(attempt_id)

    async def _follow(self, attempt_id: UUID) -> AttemptState:
        """Until the attempt has ended and its telephone call is over; gives the state in which it ended."""
        loop = asyncio.get_running_loop()
        seen: Followed | None = None
        news_at = asked_at = loop.time()
        while True:
            await self._next_look(attempt_id)
            followed = await self._followed(attempt_id)
            if followed != seen:
                seen = followed
                news_at = asked_at = loop.time()
            quiet_s, unasked_s = loop.time() - news_at, loop.time() - asked_at
            if followed.ended_at is not None:
                if self._line_is_over(followed):
                    return followed.state
                allowed_s = self._pace.voicemail_s if followed.state is AttemptState.MACHINE else self._pace.linger_s
                if _since(followed.ended_at) > allowed_s and unasked_s > self._pace.orphan_s:
                    asked_at = loop.time()
                    if await self._hang_up(attempt_id, followed.call_sid):
                        return followed.state
                elif followed.call_sid and unasked_s > self._pace.quiet_s:
                    asked_at = loop.time()
                    await self._ask(attempt_id, followed.call_sid)
            elif followed.state is AttemptState.IN_PROGRESS and followed.line_ended_at is not None:
                if not followed.held or _since(followed.line_ended_at) > self._pace.report_s:
                    await self._kept(self._store.outreach.close_broken, attempt_id)
                    self.notice(attempt_id)
            elif followed.call_sid and unasked_s > self._patience_s(followed):
                asked_at = loop.time()
                ended = await self._ask(attempt_id, followed.call_sid)
                orphan = followed.state is AttemptState.IN_PROGRESS and not followed.held
                if orphan and not ended and quiet_s > self._pace.quiet_s:
                    await self._hang_up(attempt_id, followed.call_sid)

    def _patience_s(self, followed: Followed) -> float:
        """How long the provider is not asked about a call that goes on."""
        if followed.state is not AttemptState.IN_PROGRESS:
            return max(self._pace.quiet_s, self._settings.ring_s)
        if not followed.held:
            return self._pace.orphan_s
        longest_s = self._settings.longest_call_s
        overdue = followed.answered_at is not None and _since(followed.answered_at) > longest_s
        return self._pace.quiet_s if overdue else longest_s

    @staticmethod
    def _line_is_over(followed: Followed) -> bool:
        return followed.call_sid is None or followed.line_ended_at is not None or followed.state in _NOBODY_HAS_A_LINE

    async def _next_look(self, attempt_id: UUID) -> None:
        """Waits for news; without any the store is asked about once a second, less often when many calls are on."""
        news = self._news[attempt_id]
        try:
            await asyncio.wait_for(news.wait(), max(self._pace.look_s, len(self._news) / 50))
        except TimeoutError:
            return
        news.clear()

    async def _ask(self, attempt_id: UUID, call_sid: str) -> bool:
        """Folds what the provider says of a call. Whether the telephone call is over."""
        try:
            async with asyncio.timeout(self._pace.request_s):
                progress = await self._dialer.look(attempt_id, call_sid)
        except DialRefused:  # there is no such call
            progress = CallProgress(
                attempt_id, call_sid, CallStatus.FAILED, sequence=None, failure=CallFailure.NOT_PLACED
            )
        except (DialError, TimeoutError):
            return False
        await self._kept(self._store.outreach.fold, progress)
        self.notice(attempt_id)
        return progress.status is not None and progress.status.terminal

    async def _hang_up(self, attempt_id: UUID, call_sid: str | None) -> bool:
        """Ends the telephone call. Whether it is over now."""
        if call_sid is None:
            return True
        try:
            async with asyncio.timeout(self._pace.request_s):
                await self._dialer.hang_up(call_sid)
        except (DialError, TimeoutError):
            return False
        return await self._ask(attempt_id, call_sid)

    async def _conclude(self, attempt_id: UUID, state: AttemptState) -> None:
        await self._kept(self._store.outreach.conclude, attempt_id, ladder.next_step)
        _attempts.add(1, {"outcome": state.value})

    async def _followed(self, attempt_id: UUID) -> Followed:
        return await self._kept(self._store.outreach.followed, attempt_id)

    async def _kept(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a method of the store, and again until the database can be used."""
        rest_s = 0.5
        while True:
            try:
                return await self._store.run(call, *args, **kwargs)
            except StoreUnavailable as error:
                logger.warning("waiting for the database: %s", error)
                await asyncio.sleep(rest_s)
                rest_s = min(2 * rest_s, 10.0)


def _may_dial(enrolled: Enrolled, at: datetime) -> NotYet | None:
    """Planning's word; notes how late a check's first call is."""
    refusal, due_at = planning.may_dial(enrolled, at), enrolled.last_slot
    if refusal is None and due_at is not None and not any(call >= due_at for call in enrolled.recent_calls):
        _due_to_dial.record((at - due_at).total_seconds())
    return refusal


def _now() -> datetime:
    return datetime.now(UTC)


def _since(moment: datetime) -> float:
    return (_now() - moment).total_seconds()


async def _until(moment: datetime) -> None:
    await asyncio.sleep(-_since(moment))
