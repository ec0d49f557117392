"""Memory around a call: what to ask about again before it, what becomes of the memories after it."""

import asyncio
import datetime
import re
import uuid
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass

from carecall.dialog.definition import Feeling
from carecall.dialog.follow_ups import code_of
from carecall.dialog.understanding.meaning import Asked
from carecall.dialog.understanding.rules import rules_for
from carecall.domain.finding import AnswerType, Ternary
from carecall.domain.language import Language
from carecall.domain.report import Outcome, Report
from carecall.domain.turn import Speaker, Turn
from carecall.memory.extraction import Extracted, extract, is_chronic
from carecall.memory.memory import Memory, Topic
from carecall.memory.operations import Decision, Operation, update
from carecall.memory.recall import FollowUp, follow_ups
from carecall.memory.requests import forget_request, without_request
from carecall.memory.sense import Tone, sense
from carecall.store import Store
from carecall.store.memories import Append, End, FollowedUp, Forget, Replace
from carecall.store.memories import Operation as StoreOperation
from carecall.store.tables import MemoryRow

_MOST_READ = 2000  # characters of a reply that are looked at
_CLAUSE = re.compile(r"[.!?,;…]+|\b(?:but|and|because|so)\b|(?<=지만) |(?<=[는은]데) ", re.IGNORECASE)
_A_STATEMENT = 3  # words beside a request to forget, from which it is about its own turn alone


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a call did to the memories of its recipient."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    decisions: tuple[Decision, ...]  # one for each sentence that was said or ended


def load(language: Language) -> None:
    """Build what memory reads this language with, which takes a second, ahead of the first call."""
    sense("", language)


async def recall_for(
    store: Store, recipient_id: uuid.UUID, language: Language, today: datetime.date
) -> tuple[FollowUp, ...]:
    """At most two things of earlier calls to ask the recipient about today."""
    memories = await _memories(store, recipient_id, language)
    return await asyncio.to_thread(follow_ups, memories, today, language)


async def remember(
    store: Store, attempt_id: uuid.UUID, report: Report, followed_up: Sequence[FollowUp], today: datetime.date
) -> Remembered:
    """Keeps what a finished call said, in a transaction of its own. ``followed_up``: what recall_for gave for it.

    Nothing is kept of a call in which it never came out who was on the line. Raises StoreError.
    """
    attempt = await store.run(store.attempts.get, attempt_id)
    language = Language(report.dialog_language)
    memories = await _memories(store, attempt.recipient_id, language)
    before = tuple(memory.text for memory in memories)
    turns = await store.run(store.calls.turns, attempt_id)
    call = await asyncio.to_thread(changes, turns, report, memories, followed_up, today)
    await store.run(store.memories.apply, attempt.recipient_id, call.operations, source_attempt_id=attempt_id)
    return Remembered(before, call.after, call.decisions)


async def _memories(store: Store, recipient_id: uuid.UUID, language: Language) -> list[Memory]:
    recipient = await store.run(store.recipients.get, recipient_id)
    zone = zoneinfo.ZoneInfo(recipient.time_zone)
    return [_memory(row, zone, language) for row in await store.run(store.memories.standing, recipient_id)]


def _memory(row: MemoryRow, zone: zoneinfo.ZoneInfo, language: Language) -> Memory:
    return Memory(
        id=str(row.id),
        text=row.text,
        topic=Topic(row.topic) if row.topic in set(Topic) else Topic.OTHER,
        created_on=row.created_at.astimezone(zone).date(),
        source_turn=row.source_turn,
        source_attempt=None if row.source_attempt_id is None else str(row.source_attempt_id),
        chronic=is_chronic(row.text, language),
        followed_up_on=row.followed_up_on,
    )


def _with_the_recipient(turns: Sequence[Turn], report: Report) -> list[Turn]:
    """The turns from the one that confirmed who is on the line; none when that never came out, or was wrong."""
    first = next((place for place, turn in enumerate(turns) if turn.speaker is Speaker.AGENT and turn.asked), None)
    if first is None or report.outcome is Outcome.WRONG_PERSON:
        return []
    heard = [place for place, turn in enumerate(turns[:first]) if turn.speaker is Speaker.RECIPIENT]
    return list(turns[heard[-1] if heard else first :])


@dataclass(frozen=True, slots=True)
class Changes:
    """What a call does to the memories."""

    decisions: tuple[Decision, ...]  # one for each sentence that was said or ended
    operations: tuple[StoreOperation, ...]
    after: tuple[str, ...]  # what stands when they are carried out


def changes(
    turns: Sequence[Turn],
    report: Report,
    memories: Sequence[Memory],
    followed_up: Sequence[FollowUp],
    today: datetime.date,
) -> Changes:
    """What the turns of a call do to the memories of its recipient. Pure."""
    turns = _with_the_recipient(turns, report)
    if not turns:
        return Changes((), (), tuple(memory.text for memory in memories))
    language = Language(report.dialog_language)
    unwanted = _unwanted(turns, memories, followed_up, language)
    standing = [memory for memory in memories if memory.id not in unwanted.memories]
    said = _said(turns, report, unwanted, language)
    outcome = update([memory.text for memory in standing], [each.text for each in said], language)
    ids = {memory.text: uuid.UUID(memory.id) for memory in standing}
    asked = _asked_about(turns, followed_up)
    fresh: dict[str, uuid.UUID | None] = {}  # a new sentence that stands, and the stored one that it replaces
    ended: list[uuid.UUID] = []
    for decision in outcome.decisions:
        old = next(iter(decision.stored), None)
        if decision.operation is Operation.PASS:
            continue
        replaced = None if old is None else fresh.pop(old) if old in fresh else ids.pop(old)
        if decision.operation is Operation.DELETE:
            ended += [] if replaced is None else [replaced]
        else:
            fresh[decision.new] = replaced
    decisions = list(outcome.decisions)
    for follow_up, reply in asked.items():
        if follow_up.memory.text in ids and reply is not None and _is_over(follow_up, reply, language, today):
            ended.append(ids.pop(follow_up.memory.text))
            decisions.append(Decision(reply, Operation.DELETE, (follow_up.memory.text,)))
    for clause in _over(turns, unwanted, language):
        for decision in update(list(ids), [clause], language).decisions:
            if decision.operation is Operation.DELETE:
                ended.append(ids.pop(decision.stored[0]))
                decisions.append(decision)
    texts = {memory.id: memory.text for memory in memories}
    decisions += [Decision(request, Operation.DELETE, (texts[id_],)) for id_, request in unwanted.memories.items()]
    sources = {each.text: each for each in reversed(said)}
    recently = {uuid.UUID(follow_up.memory.id) for follow_up in asked}
    operations: list[StoreOperation] = [Forget(uuid.UUID(id_)) for id_ in unwanted.memories]
    operations += [End(each) for each in ended]
    for text, replaced in fresh.items():
        source = sources[text]
        if replaced is None:
            operations.append(Append(text, source.topic, source.source_turn))
        else:
            asked_on = today if replaced in recently else None
            operations.append(Replace(replaced, text, source.topic, source.source_turn, asked_on))
    operations += [FollowedUp(each, today) for each in ids.values() if each in recently]
    return Changes(tuple(decisions), tuple(operations), (*ids, *fresh))


@dataclass(frozen=True, slots=True)
class _Unwanted:
    """What the recipient asked to forget."""

    turns: frozenset[int]  # indices of turns of which nothing is kept
    subjects: frozenset[str]  # of which nothing that the call said is kept
    memories: dict[str, str]  # id of a memory that goes, and the words that asked for it


def _unwanted(
    turns: Sequence[Turn], memories: Sequence[Memory], followed_up: Sequence[FollowUp], language: Language
) -> _Unwanted:
    """A request means what it names; else what was asked about just before it; else what was just said."""
    by_code = {code_of(each): each.memory for each in followed_up}
    left_out: set[int] = set()
    subjects: set[str] = set()
    gone: dict[str, str] = {}
    heard = [turn for turn in turns if turn.speaker is Speaker.RECIPIENT]
    for place, turn in enumerate(heard):
        request = forget_request(turn.text, language)
        if request is None:
            continue
        left_out.add(turn.index)
        named = sense(request.group(0), language).subjects
        known = [memory for memory in memories if sense(memory.text, language).subjects & named]
        said = [each for each in heard[:place] if _content(each.text, language) & named]
        if known or said:
            subjects |= named
            gone |= {memory.id: turn.text for memory in known}
        elif turn.asked in by_code:
            gone[by_code[turn.asked].id] = turn.text
            left_out |= {each.index for each in heard if each.asked == turn.asked}
        elif place and len(without_request(turn.text, language).split()) < _A_STATEMENT:
            left_out.add(heard[place - 1].index)
    return _Unwanted(frozenset(left_out), frozenset(subjects), gone)


def _content(text: str, language: Language) -> frozenset[str]:
    return sense(text[:_MOST_READ], language).subjects


def _said(turns: Sequence[Turn], report: Report, unwanted: _Unwanted, language: Language) -> list[Extracted]:
    wanted = [turn for turn in turns if turn.index not in unwanted.turns]
    indices = {turn.index for turn in wanted}
    findings = [each for each in report.findings if each.evidence and each.evidence[0].turn in indices]
    return [
        each
        for each in extract(wanted, language, findings)
        if not sense(each.text, language).subjects & unwanted.subjects
    ]


def _over(turns: Sequence[Turn], unwanted: _Unwanted, language: Language) -> list[str]:
    """Clauses of the recipient that say of something that it is over or well. They end a memory, and are not kept."""
    clauses = [
        clause.strip()
        for turn in turns
        if turn.speaker is Speaker.RECIPIENT and turn.index not in unwanted.turns
        for clause in _CLAUSE.split(turn.text[:_MOST_READ])
    ]
    return [clause for clause in clauses if clause and sense(clause, language).tone in (Tone.FINE, Tone.ENDED)]


def _asked_about(turns: Sequence[Turn], followed_up: Sequence[FollowUp]) -> dict[FollowUp, str | None]:
    """The follow-ups that were put, each with the last reply to it."""
    put = {turn.asked for turn in turns if turn.speaker is Speaker.AGENT}
    replies = {turn.asked: turn.text for turn in turns if turn.speaker is Speaker.RECIPIENT and turn.asked}
    return {each: replies.get(code_of(each)) for each in followed_up if code_of(each) in put}


def _is_over(follow_up: FollowUp, reply: str, language: Language, today: datetime.date) -> bool:
    """Whether the reply to a follow-up says that it is so no longer: such replies seldom name what they are about."""
    reply = reply[:_MOST_READ]
    heard = sense(reply, language)
    read = rules_for(language).read(reply, Asked(follow_up.question, AnswerType.YES_NO), today)
    denied = read.answer is not None and read.answer.value is Ternary.NO
    if heard.still:
        return False
    if sense(follow_up.memory.text, language).tone is Tone.TROUBLE:
        return denied or (heard.tone in (Tone.FINE, Tone.ENDED) and read.feeling is Feeling.GOOD)
    return denied and heard.tone is Tone.ENDED
