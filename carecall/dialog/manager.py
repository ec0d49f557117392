"""Holds one conversation: understand → decide → word → check bounds → speak."""

import asyncio
import datetime
import re
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from carecall.dialog import policy
from carecall.dialog.acts import Acknowledge, Act, Ask, Escalate, Line, Speak
from carecall.dialog.definition import Dialog, Feeling, Question, RedFlag
from carecall.dialog.follow_ups import spoken_of, with_follow_ups
from carecall.dialog.identity import says_to_be
from carecall.dialog.intake import SURE, is_doubtful
from carecall.dialog.journal import Journal
from carecall.dialog.state import Heard, Script, Stage, State
from carecall.dialog.summary import summarise
from carecall.dialog.understanding.llm_layer import read_by_model, reliability_of
from carecall.dialog.understanding.meaning import AnswerReading, Asked, Intent, Understanding
from carecall.dialog.understanding.merge import merge
from carecall.dialog.understanding.rules import Rules
from carecall.dialog.wording import Sentence, WarmSentences, Wording, may_write
from carecall.domain.finding import AnswerType, Finding, Layer, Missing, Ternary
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import findings_of, triage
from carecall.domain.turn import Speaker, Turn
from carecall.llm import LanguageModel
from carecall.memory.recall import FollowUp
from carecall.memory.requests import without_request

__all__ = ["DialogManager", "Sentence"]

_CONTEXT = 12  # turns that bounds are checked against
_UMBRELLA = 3  # a question about more findings than this names none of them: a bare no is no word on each
_BEFORE_LAST_SENTENCE = re.compile(r"^.*[.!?] +(?=\S)", re.DOTALL)
_AFTER_SILENCE = (Line.SILENCE, Line.WAIT, Line.CLOSE_SILENCE, Line.CLOSE_EMERGENCY)  # what begins such a turn
_HEARD_WHOLE = 0.6  # share of a question that must have gone out for it to count as put


class _Outgoing:
    """One agent turn on its way to the line."""

    def __init__(self, before: State, after: State, acts: Sequence[Act], sentences: Sequence[Sentence]) -> None:
        self.before = before  # the state before it was decided
        self.after = after
        self.acts = tuple(acts)
        self.sentences = tuple(sentences)
        self.yielded: list[Sentence] = []
        self.heard: list[tuple[Sentence, float]] | None = None  # how much of each sentence, 0 to 1; None: not known yet

    @property
    def handed_over(self) -> bool:
        """Whether its last sentence has been yielded."""
        return not self.sentences or (bool(self.yielded) and self.yielded[-1] is self.sentences[-1])

    @property
    def unheard(self) -> list[Sentence]:
        """What did not go out, or not whole."""
        shares = self.shares("", cut=False) if self.heard is None else self.heard
        return [sentence for sentence, share in shares if share < _HEARD_WHOLE]

    def replay(self, went_out: str) -> None:
        """Takes its sentences for yielded, and what went out between the first two for a warm one."""
        self.yielded = list(self.sentences)
        if len(self.sentences) < 2 or not went_out.startswith(self.sentences[0].text):
            return
        rest, second = went_out[len(self.sentences[0].text) :].strip(), self.sentences[1].text
        warm = rest.partition(second)[0].strip()
        if warm and not second.startswith(warm):
            self.yielded.insert(1, Sentence(warm, vetted=False))

    def begins(self, went_out: str) -> bool:
        """Whether this is what went out, and not a belated word of an earlier turn."""
        first = _letters(self.yielded[0].text) if self.yielded else ""
        said = _letters(went_out)
        return bool(first) and (said.startswith(first) or first.startswith(said))

    def shares(self, went_out: str, *, cut: bool) -> list[tuple[Sentence, float]]:
        """How much of each sentence was heard. ``cut``: the last one that was begun was not ended."""
        shares: list[tuple[Sentence, float]] = []
        left = len(_letters(went_out))
        for sentence in self.yielded:
            length = max(len(_letters(sentence.text)), 1)
            shares.append((sentence, min(max(left / length, 0.0), 1.0)))
            left -= length
        begun = [number for number, (_, share) in enumerate(shares) if share > 0]
        if cut and begun:
            sentence, share = shares[begun[-1]]
            shares[begun[-1]] = (sentence, min(share, _HEARD_WHOLE / 2))
        return shares + [(each, 0.0) for each in self.sentences if not any(each is known for known in self.yielded)]


class DialogManager:
    """One call's conversation, whatever the line: it is given what was heard, and yields what to say.

    The generators of ``open``, ``reply`` and ``silence`` may be closed or cancelled at any point: what was heard has
    then been written down, understood and decided on. One of them runs at a time.
    """

    def __init__(
        self,
        dialog: Dialog,
        red_flags: Mapping[str, RedFlag],
        rules: Rules,
        journal: Journal,
        *,
        recipient_name: str,
        today: datetime.date,
        organisation: str = "",
        language_model: LanguageModel | None = None,
        llm_deadline_s: float = 0.9,
        follow_ups: Sequence[FollowUp] = (),
        called_us: bool = False,
    ) -> None:
        """``called_us``: the recipient calls back, and is greeted so."""
        if called_us:
            dialog = replace(dialog, texts=replace(dialog.texts, greeting=dialog.texts.greeting_inbound))
        dialog = with_follow_ups(dialog, follow_ups)
        self._dialog = dialog
        self._follow_ups = tuple(follow_ups)
        self._name = recipient_name
        self._script = Script(dialog, red_flags)
        self._rules = rules
        self._journal = journal
        self._today = today
        self._wording = Wording(dialog, red_flags, recipient_name=recipient_name, organisation=organisation)
        self._warm = (
            WarmSentences(language_model, dialog.language, deadline_s=llm_deadline_s)
            if language_model is not None and may_write(language_model, dialog.language)
            else None
        )
        self._second_reader = (
            language_model
            if language_model is not None and reliability_of(language_model.name).answer >= SURE
            else None
        )
        self._llm_deadline_s = llm_deadline_s
        self._reading: asyncio.Task[Understanding | None] | None = None  # the model's, while it reads
        self._state = State()
        self._next_index = 0
        self._said: list[tuple[Speaker, str]] = []  # the talk so far
        self._question_text = ""  # what the recipient replies to, in the agent's words
        self._outgoing = _Outgoing(self._state, self._state, (), ())
        self._last_heard = ""  # the last sentence that was begun on the line
        self._goodbye_cut = False

    @property
    def ended(self) -> bool:
        """Nothing more will be said: hang up once what was yielded is spoken. False again when that was cut off."""
        return self._state.stage is Stage.CLOSING and self._outgoing.handed_over and not self._goodbye_cut

    @property
    def asking(self) -> Question | None:
        """The question now open."""
        code = self._state.asking
        return None if code is None else self._dialog.question(code)

    def vetted_lines(self) -> tuple[str, ...]:
        """Every fixed line with {name} and {organisation} filled in."""
        return self._wording.fixed()

    @property
    def turns(self) -> int:
        """How many turns there have been, of both sides."""
        return self._next_index

    async def take_up(self, turns: Sequence[Turn], understandings: Mapping[int, Understanding]) -> None:
        """Goes to where the call stood that these turns are of; then ``open`` it again.

        ``understandings`` are by the turn's index. What was heard and not understood before the call broke off is
        understood now, and its red flags are raised.
        """
        missed = await asyncio.to_thread(self._replay, turns, understandings)
        for index, understanding in missed.items():
            await self._journal.understood(index, understanding)
        for alert in self._state.alerts:
            await self._journal.alert(alert)

    async def open(self) -> AsyncGenerator[Sentence, None]:
        """The greeting; on a line that dropped and is back, where the talk stood."""
        if self._said:
            self._settle()
            self._state = self._outgoing.after
            if self._outgoing.unheard:
                self._owe(self._outgoing.acts)
            self._wording.heard("")
            self._decided(self._state, *policy.resumed(self._state, self._script))
        else:
            self._decided(self._state, self._state, (Speak(Line.GREETING),))
        async with aclosing(self._say()) as sentences:
            async for sentence in sentences:
                yield sentence

    async def reply(self, text: str, *, started_s: float, ended_s: float) -> AsyncGenerator[Sentence, None]:
        """What to say to one recipient turn. Times are seconds from the start of the call's audio."""
        self._settle()
        turn = Turn(self._index(), Speaker.RECIPIENT, text, started_s, ended_s, asked=self._state.asking)
        feeling = await self._to_its_end(self._take_in(turn))
        async with aclosing(self._say(text, feeling)) as sentences:
            async for sentence in sentences:
                yield sentence

    async def silence(self, *, at_s: float) -> AsyncGenerator[Sentence, None]:
        """What to say when the line has been idle until ``at_s``."""
        self._settle()
        before = self._state
        self._decided(before, *policy.silence(before, self._script))
        async with aclosing(self._say()) as sentences:
            async for sentence in sentences:
                yield sentence

    async def resume(self) -> AsyncGenerator[Sentence, None]:
        """What a noise without words cut off, from the sentence that was cut; nothing when all was heard."""
        cut = self._outgoing
        if missing := cut.unheard:
            self._state = cut.after
            self._goodbye_cut = False
            self._outgoing = _Outgoing(cut.before, cut.after, cut.acts, missing)
            async with aclosing(self._say()) as sentences:
                async for sentence in sentences:
                    yield sentence

    async def spoken(self, text: str, *, started_s: float, ended_s: float, interrupted: bool = False) -> None:
        """What really went out of the last agent turn; once a turn. Never called: nothing went out.

        A question that was cut off does not count as put, and a text of emergency or a goodbye is said again.
        """
        if not text.strip():
            return
        asked = self._settle(text, cut=interrupted) if self._outgoing.begins(text) else None
        self._said.append((Speaker.AGENT, text))
        turn = Turn(self._index(), Speaker.AGENT, text, started_s, ended_s, asked=asked, interrupted=interrupted)
        await self._journal.agent_turn(turn)

    def report(self, *, broken: bool = False) -> Report:
        """All that was found out so far. Before the closing line the recipient counts as having left.

        With ``broken`` it was not the recipient, but our side that failed.
        """
        state = self._state
        left = Outcome.INTERRUPTED if broken else Outcome.HUNG_UP
        outcome = state.outcome or (Outcome.EMERGENCY if state.stage is Stage.EMERGENCY else left)
        open_items = policy.open_items(state, self._dialog)
        findings = state.findings | {
            question.code: Finding(question.code, Missing.NOT_ASKED, layer=Layer.POLICY)
            for question in open_items
            if not question.remembered
        }
        agenda = [question.code for question in self._dialog.agenda if question.code in findings]
        volunteered = [code for code in findings if code not in agenda]
        alerts = (*state.alerts, *triage(findings, self._dialog.triage))
        report = Report(
            dialog_id=self._dialog.id,
            dialog_language=self._dialog.language,
            dialog_version=self._dialog.version,
            dialog_hash=self._dialog.hash,
            outcome=outcome,
            findings=tuple(findings[code] for code in (*agenda, *volunteered)),
            alerts=tuple(sorted(alerts, key=lambda alert: alert.urgency.rank)),
            notes=state.notes,
        )
        return replace(report, summary=summarise(report, self._dialog))

    async def _take_in(self, turn: Turn) -> Feeling:
        """Writes the turn down, understands it and decides; returns how it is to be met."""
        await self._journal.recipient_turn(turn)
        self._said.append((Speaker.RECIPIENT, turn.text))
        asked = self._asked()
        rest = without_request(turn.text, self._dialog.language)
        understanding = await asyncio.to_thread(self._read, turn.text, rest, asked)
        asking = self.asking
        if self._second_reader is not None and asking is not None and is_doubtful(understanding, asking.type):
            understanding = await self._second_reading(self._second_reader, turn.text, asked, understanding)
        await self._journal.understood(turn.index, understanding)
        return await self._decide(await asyncio.to_thread(self._heard, turn, rest, understanding))

    def _read(self, text: str, rest: str, asked: Asked) -> Understanding:
        """What a reply means; ``rest`` is what it says beside a request to forget."""
        understanding = self._rules.read(text, asked, self._today)
        if rest == text:
            return understanding
        besides = self._rules.read(rest, asked, self._today) if rest else Understanding(Intent.ANSWER)
        leaves = understanding.intent in (Intent.GOODBYE, Intent.STOP_CALLING)
        intent = understanding.intent if leaves else besides.intent
        return replace(besides, intent=intent, red_flags=understanding.red_flags)

    def _heard(self, turn: Turn, rest: str, understanding: Understanding) -> Heard:
        return Heard(
            turn.index,
            turn.text,
            understanding,
            turn.started_s,
            further=self._further(turn.text, understanding),
            speaks_of=spoken_of(turn.text, self._follow_ups, self._dialog),
            says_name=says_to_be(turn.text, self._name, self._dialog.language),
            wants_forgotten=rest != turn.text,
        )

    def _further(self, text: str, understanding: Understanding) -> tuple[tuple[str, AnswerReading], ...]:
        """What the reply says to number questions that what it states opens, so that they need not be put."""
        state = self._state
        present = {reading.id for reading in understanding.volunteered if reading.value is Ternary.YES}
        answer = understanding.answer
        if state.asking is not None and answer is not None and answer.value is Ternary.YES and state.candidate is None:
            present.add(state.asking)
        readings = []
        for question in self._dialog.agenda:
            opened = question.when is not None and present & set(findings_of(question.when))
            if opened and question.type is AnswerType.NUMBER and not state.puts.get(question.code):
                asked = Asked(question.ask[0], question.type, question.unit)
                if (reading := self._rules.read(text, asked, self._today).answer) is not None and reading.quote:
                    readings.append((question.code, reading))
        return tuple(readings)

    async def _second_reading(
        self, model: LanguageModel, text: str, asked: Asked, rules: Understanding
    ) -> Understanding:
        """What the rules understood, merged with what the language model reads in time."""
        ids = dict.fromkeys(each for question in self._dialog.agenda for each in (*question.about, *question.opposite))
        self._reading = asyncio.create_task(
            read_by_model(
                model,
                text,
                asked,
                finding_ids=tuple(ids),
                red_flag_ids=tuple(self._script.red_flags),
                deadline_s=self._llm_deadline_s,
            )
        )
        await asyncio.wait([self._reading])
        llm = None if self._reading.cancelled() else self._reading.result()
        self._reading = None
        return merge(rules, llm, reliability_of(model.name))

    def _replay(self, turns: Sequence[Turn], understandings: Mapping[int, Understanding]) -> dict[int, Understanding]:
        """Decides on every turn as it was decided on then. Gives what had to be understood anew, by turn."""
        missed: dict[int, Understanding] = {}
        self._decided(self._state, self._state, (Speak(Line.GREETING),))
        for turn in turns:
            self._next_index = turn.index + 1
            self._said.append((turn.speaker, turn.text))
            if turn.speaker is Speaker.AGENT:
                self._replay_agent(turn)
                continue
            self._settle()
            rest = without_request(turn.text, self._dialog.language)
            understanding = understandings.get(turn.index)
            if understanding is None:
                understanding = missed[turn.index] = self._read(turn.text, rest, self._asked())
            before, heard = self._state, self._heard(turn, rest, understanding)
            self._decided(before, *policy.decide(before, heard, self._script))
        return missed

    def _replay_agent(self, turn: Turn) -> None:
        """What went out was the last decision; or the line was silent, or a noise or a drop cut that decision off."""
        last = self._outgoing
        last.replay(turn.text)
        if last.heard is not None or not last.begins(turn.text):
            missing = last.unheard
            if last.heard is not None and missing and turn.text.startswith(missing[0].text):
                self._state = last.after
                self._outgoing = _Outgoing(last.before, last.after, last.acts, missing)
            elif self._wording.is_of(turn.text, *_AFTER_SILENCE) and self._state.stage is not Stage.CLOSING:
                self._settle()
                self._decided(self._state, *policy.silence(self._state, self._script))
            elif last.heard is None:
                return  # a belated word of the turn before
            else:
                self._state = last.after
                self._decided(self._state, *policy.resumed(self._state, self._script))
            self._outgoing.replay(turn.text)
        self._settle(turn.text, cut=turn.interrupted)

    async def _decide(self, heard: Heard) -> Feeling:
        before = self._state
        state, acts = policy.decide(before, heard, self._script)
        self._decided(before, state, acts)
        for act in acts:
            if isinstance(act, Escalate):
                for alert in act.alerts:
                    await self._journal.alert(alert)
        return next((act.feeling for act in acts if isinstance(act, Acknowledge)), Feeling.NEUTRAL)

    def _decided(self, before: State, state: State, acts: Sequence[Act]) -> None:
        self._state = state
        self._goodbye_cut = False
        self._outgoing = _Outgoing(before, state, acts, self._wording.phrase(acts))

    def _asked(self) -> Asked:
        """What the recipient is replying to."""
        question, state = self.asking, self._state
        if state.candidate is not None:
            return Asked(_asks_if_right(self._question_text, self._dialog.texts.confirm), AnswerType.YES_NO)
        if state.stage is Stage.IDENTITY:
            return Asked(_BEFORE_LAST_SENTENCE.sub("", self._question_text), AnswerType.YES_NO)
        if question is None:
            return Asked(self._question_text)
        about = question.about if len(question.about) <= _UMBRELLA else ()
        return Asked(self._question_text, question.type, question.unit, question.choices, about)

    async def _say(self, reply: str = "", feeling: Feeling = Feeling.NEUTRAL) -> AsyncGenerator[Sentence, None]:
        outgoing = self._outgoing
        writing = None
        if self._warm is not None and _has_room(outgoing.acts) and self._warm.wanted(reply):
            writing = self._warm.start(reply, self._said[-_CONTEXT:], feeling)
        try:
            for number, sentence in enumerate(outgoing.sentences):
                if number == 1 and self._warm is not None and writing is not None:
                    warm = await self._warm.take(writing, outgoing.sentences[0].text)
                    if warm is not None:
                        outgoing.yielded.append(warm)
                        yield warm
                outgoing.yielded.append(sentence)
                yield sentence
        finally:
            if writing is not None:
                writing.cancel()
                await asyncio.wait([writing])

    def _settle(self, went_out: str = "", *, cut: bool = False) -> str | None:
        """Settles what of the last agent turn was heard. Returns the code of the question that it put, if it did."""
        outgoing = self._outgoing
        if outgoing.heard is not None:
            return None
        outgoing.heard = outgoing.shares(went_out, cut=cut)
        begun = [each.text for each, share in outgoing.heard if share > 0]
        asking = next(((each, share) for each, share in outgoing.heard if each.asks is not None), None)
        if asking is not None and asking[1] < _HEARD_WHOLE:
            self._state = policy.unheard(self._state, outgoing.before, begun=asking[1] > 0)
        if asking is not None and asking[1] > 0:
            self._question_text = asking[0].text
        elif self._state.asking is None and begun:
            self._question_text = begun[-1]
        if outgoing.unheard:
            self._last_heard = begun[-1] if begun else self._last_heard
            self._wording.heard(self._last_heard)
            self._owe(outgoing.acts)
        elif begun:
            self._last_heard = begun[-1]
        return asking[0].asks if asking is not None and asking[1] > 0 else None

    def _owe(self, acts: Sequence[Act]) -> None:
        """What must be said whole and was not, is to be said again."""
        self._goodbye_cut = self._state.stage is Stage.CLOSING
        for act in acts:
            if isinstance(act, Escalate):
                self._state = policy.cut_off(self._state, act.flag)
            elif act == Speak(Line.GREETING):
                self._state = policy.not_introduced(self._state)

    async def _to_its_end(self, step: Coroutine[None, None, Feeling]) -> Feeling:
        """Runs a step to its end even when the turn is cancelled meanwhile: what was heard must not be lost."""
        task = asyncio.ensure_future(step)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._reading is not None:
                self._reading.cancel()
            await asyncio.wait([task])
            raise

    def _index(self) -> int:
        self._next_index += 1
        return self._next_index - 1


def _has_room(acts: Sequence[Act]) -> bool:
    """Whether a warm sentence fits after the first act: an acknowledgement or small talk, then a question."""
    warm = bool(acts) and (isinstance(acts[0], Acknowledge) or acts[0] == Speak(Line.SMALL_TALK))
    return warm and any(isinstance(act, Ask) for act in acts)


def _asks_if_right(text: str, patterns: Sequence[str]) -> str:
    """The part of a confirmation that asks: what was understood may be a denial, which turns yes and no around."""
    for pattern in patterns:
        question = pattern.partition("{answer}")[2]
        if text.endswith(question):
            return question.strip(" ,.:")
    return text


def _letters(text: str) -> str:
    return "".join(text.split())
