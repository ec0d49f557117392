"""Yes or no in English: the truth of what was asked, whatever word the reply opens with."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from carecall.dialog.understanding.english.spoken import Clause, Spoken
from carecall.dialog.understanding.english.statements import OF_MEDICINE, Statement, When, is_other_taking
from carecall.dialog.understanding.lexicon import FindingKind, Lexicon, Phrases
from carecall.dialog.understanding.meaning import AnswerReading, Asked
from carecall.domain.finding import Ternary


class Ground(Enum):
    """What a reading rests on, strongest first, with the share of such readings that hold."""

    CONTENT = auto()  # the reply states the thing itself
    ECHO = auto()  # "I did", "it isn't"
    WORD = auto()  # yes, no, never
    MANNER = auto()  # "a little", "fine", "not since Friday"


_RELIABILITY = {Ground.CONTENT: 0.95, Ground.ECHO: 0.9, Ground.WORD: 0.93, Ground.MANNER: 0.75}
_ECHO = re.compile(
    r"(?:and |well |but |so |yes |no |i am afraid |i think |i believe |i suppose )*(?:i|it|they|"
    r"there|that|we|he|she|you) (?:sure |certainly |really |most certainly |"
    r"just |definitely |surely )?(do|did|have|am|was|can|is|are|has|had|does|were)(n? not)?"
    r"(?: (?:thanks|thank you|indeed|so|too|today|this morning|actually|love|dear|at all|either|now|i am afraid|yes|"
    r"already|yet|lately|recently|sir|doctor|"
    r"(?<!am )(?<!is )(?<!are )(?<!was )(?<!not )all right|a bit|sometimes|yesterday|just now|earlier|rather|quite|"
    r"somewhat|a little|a lot|no|really|honestly|truly|mostly|often|usually|again|and then|now and|most days|"
    r"every day|every time|all the time|as it happens|as a matter of fact|thankfully|unfortunately|sadly|my dear|"
    r"thank god|thank goodness|on and off|from time to time|of late|this week|last night|you know|you see|mind you))*"
    r"(?:$| (?=(?:i|but|every|most|when|whenever|because)\b))"
)
_FINAL = re.compile(
    r"(?:^|.* )(?:(yes|yeah|yep|aye)|(no|nope|nah))(?: (?:dear|love|thanks|thank you|sir|madam|i am afraid))*$"
)
_FINAL_WORDS = 8
_AFFIRMED = re.compile(
    r"(?:(?:oh|well|why|and|so|yes) )*(?:yes|yeah|yep|yup|aye|of course|certainly|indeed|i (?:have|did|do|am))\b"
)
_UNABLE = re.compile(
    r"i (?:can|could) (?:not|hardly|barely|scarcely) (?!say|complain|tell|think|remember|recall|see|be)\w+"
)
_PRESUMED_WORDS = 14
_TOLD = re.compile(
    r"\bi (?:have )?(?:just |only |also |even |already )?(?:been (?:\w+ing|to|out|round|over|up|down)|went|walked|took|"
    r"did|saw|met|visited|popped|drove|cycled|swam|danced|cleaned|washed|cooked|baked|mowed|dug|weeded|swept|"
    r"shopped|bought|fetched|collected|posted|carried|climbed|stretched|played)\b"
)
_ASKS_BACK = re.compile(
    r"(?:oh |well |but |and |sorry |now )*"
    r"(?:(?:is|are|was|does|do|did) (?:that|it|this|you|these|those|they)\b(?! know)|"
    r"(?:what|which) (?:sort|kind|one|ones|do you mean|would that|exactly)\b)"
)
_TAKES = re.compile(r"\b(?:take|took|taken|taking)\b")
_NOT_YET = re.compile(r"(?:(?:oh|well|no|nope|yes|i have|have|haven) )*not (?:had (?:it|them|any|anything) )?yet\b")
_NOT = re.compile(
    r"(?:well |no |oh |but |and )*(?:not|never) (?!(?:only|just|half|sure|certain|to mention|bad|too bad|so bad|"
    r"great|good|well|right|brilliant|the best|too (?:good|clever|great|well|grand|brilliant|sure)|"
    r"so (?:good|great|clever|well|sure)|very (?:good|well|clever)|really sure|enough|known|mind|you)\b)"
)
_NOT_GOOD = re.compile(
    r"(?:well |no |oh |but |and |i am |feeling |it is )*not "
    r"(?:too |so |very |particularly |terribly |really |that |all that )?"
    r"(?:great|good|well|right|brilliant|clever|grand|the best|wonderful|marvelous|marvellous|hot)\b"
)
_SUBJECT = re.compile(
    r"(?:(?:and|but|so|well|no|yes|oh|now|just) )*(?:my|the|those|these|that) "
    r"(?!evening|night|morning|day|weekend)(?:\w+ )?((?!the|my|is|was|i)\w+) (?:is|are|was|were|s|has|have|had)\b"
)
_VERB = re.compile(r"(?:(?:and|but|so|well|oh|now) )*i (?:always |usually |still |just |also )?(\w+) (?:my|the|a|to)\b")
_GENERAL_VERB = re.compile(
    r"do|did|have|had|am|was|can|could|will|would|try|tried|make|made|go|went|get|got|take|took|manage|managed|keep|"
    r"kept|feel|felt|need|must|should|want|like|hope|mean|meant|think|suppose|used|start|started|seem|forgot|lost|"
    r"miss|missed|lie|lay|sit|sat|woke|wake|hurt|could|might|may|ought|be|been"
)
_ANAPHOR = re.compile(r"(?:(?:and|but|so|well) )?(?:it|they|that|this) ")
_WINDOW = re.compile(
    r"\b(?:yesterday|days?|lately|recently|this (?:past )?week|(?:past|last) (?:week|few)|of late|since)\b"
)
_SHORT_WINDOW = re.compile(r"\b(?:yesterday|day or two|couple of days|two days)\b")
_COMPARES = re.compile(
    r"\b(?:than (?:you )?(?:usual\w*|normal\w*|before|yesterday|ever)|different|changed|any (?:worse|harder))\b"
)
_WORSE = re.compile(
    r"(?<!no )(?<!not )(?<!any )(?<!really )\b(?:worse|harder|more|hotter|warmer|weaker)\b|\bnot (?:as|so) "
)
_UNCHANGED = re.compile(
    r"\b(?:(?:the |about |much the )?same(?: as)?|as (?:usual|always|ever|normal)|"
    r"no (?:more|worse|different|harder|change)|not (?:any |really )?(?:more|worse|different|harder)|"
    r"nothing (?:new|different|has changed)|unchanged|easier|better|normal)\b"
)
_PAINS = frozenset({"pain", "headache", "chest_pain", "sore_throat", "myalgia"})
_NEGATIVE_ASK = re.compile(
    r"^(?:(?:and|so|i hope|i take it|well) )?(?:you|there|it|your \w+|that)\b.*\b(?:not|no|never|nothing|without)\b"
)
_AGREES = re.compile(r"^(?:that is |you are |quite )?(?:right|correct|true|exactly)\b")
_LATELY = re.compile(
    r"\b(?:lately|recently|past|this week|last (?:night|week)|been|ever|since|have you had|these days)\b"
)
_CONTENT_WORD = re.compile(r"[a-z]{4,}")
_ASK_WORDS = frozenset(
    [
        "have",
        "you",
        "been",
        "your",
        "today",
        "lately",
        "recently",
        "does",
        "with",
        "this",
        "that",
        "from",
        "yesterday",
        "last",
        "night",
        "week",
        "feel",
        "feeling",
        "felt",
        "getting",
        "right",
        "still",
        "there",
        "they",
        "what",
        "when",
        "where",
        "which",
        "were",
        "will",
        "would",
        "could",
        "should",
        "about",
        "been",
        "more",
        "much",
        "many",
        "some",
        "ever",
        "just",
        "anything",
        "something",
        "enough",
        "doing",
        "going",
        "make",
        "made",
        "take",
        "taken",
        "taking",
        "time",
        "able",
        "being",
    ]
)


@dataclass(frozen=True, slots=True)
class _Sign:
    value: Ternary
    ground: Ground
    start: int
    end: int


class YesNo:
    """Reads answers to yes/no questions."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._list = lexicon.phrases

    def about(self, asked: Asked, ask: Spoken) -> tuple[str, ...]:
        """The findings whose truth the question asks for."""
        findings = self._lexicon.findings
        topics = [name for name in findings if findings[name].topic.search(ask.text)]
        given = [name for name in asked.about if name in findings]
        if given:
            return tuple(
                findings[name].opposite if findings[name].opposite in topics and name not in topics else name
                for name in given
            )
        if len(topics) > 1:
            opposites = {findings[name].opposite for name in topics if findings[name].kind is FindingKind.SYMPTOM}
            opposites |= {"took_medicine"} if "medication_missed" in topics else set()
            opposites |= {"pain"} if {"headache", "chest_pain", "sore_throat", "myalgia"} & set(topics) else set()
            opposites |= {"ate"} if "good_appetite" in topics else set()
            opposites |= {"exercised"} if "dyspnea" in topics else set()
            opposites |= {"saw_doctor"} if "medication_missed" in topics else set()
            if "took_medicine" in topics and _TAKES.search(ask.text):
                opposites |= {name for name in topics if findings[name].kind is FindingKind.SYMPTOM}
            topics = [name for name in topics if name not in opposites]
        return tuple(topics)

    def read(
        self, spoken: Spoken, ask: Spoken, about: Sequence[str], statements: Sequence[Statement], evasive: bool
    ) -> AnswerReading | None:
        """The answer, UNKNOWN when the person says that they cannot tell, None when nothing bears on the question.

        ``evasive``: the reply does something else than answering, so that weak signs do not count.
        """
        kinds = {self._lexicon.findings[name].kind for name in about}
        if _ASKS_BACK.match(spoken.text):
            return None
        if refers := self._list("refers").search(spoken.text):
            return _unknown(spoken, refers)
        if FindingKind.ACT in kinds and (later := _NOT_YET.match(spoken.text)):
            return self._reading(spoken, _Sign(Ternary.NO, Ground.WORD, later.start(), later.end()), (), False)
        if _COMPARES.search(ask.text):
            worse, unchanged = _WORSE.search(spoken.text), _UNCHANGED.search(spoken.text)
            if compared := worse or unchanged:
                value = Ternary.YES if worse else Ternary.NO
                return self._reading(spoken, _Sign(value, Ground.MANNER, *compared.span()), (), False)
        if not about and _COMPARES.search(ask.text) and (trouble := self._trouble(statements)):
            return self._reading(spoken, _Sign(Ternary.YES, Ground.CONTENT, trouble.start, trouble.end), (), False)
        content = self._content(ask, about, statements, _AFFIRMED.match(spoken.text) is not None)
        signs = [] if content and not evasive else self._signs(spoken, ask, about)
        unsure = self._list("unsure").search(spoken.text) or self._list("deflects").search(spoken.text)
        if content:
            return self._reading(spoken, content[-1], content, bool(unsure))
        if evasive:
            signs = [
                each
                for each in signs
                if each.ground is Ground.WORD and each.start == 0 and each.value is not Ternary.UNKNOWN
            ]
            if not signs or spoken.question:
                return None
        firm = [each for each in signs if each.ground in (Ground.ECHO, Ground.WORD)]
        if unsure and not _outweighs(firm, unsure):
            return _unknown(spoken, unsure)
        for ground in (Ground.ECHO, Ground.WORD, Ground.MANNER):
            of_ground = [each for each in signs if each.ground is ground]
            if of_ground:
                chosen = of_ground[0] if ground is Ground.WORD else of_ground[-1]
                if FindingKind.SYMPTOM in kinds and chosen.value is Ternary.YES:
                    chosen = self._is_over(spoken.text, chosen, signs) or chosen
                return self._reading(spoken, chosen, signs, False)
        return None

    def _trouble(self, statements: Sequence[Statement]) -> Statement | None:
        kinds = (FindingKind.SYMPTOM, FindingKind.EVENT)
        findings = self._lexicon.findings
        return next(
            (each for each in statements if each.value is Ternary.YES and findings[each.id].kind in kinds), None
        )

    def _is_over(self, text: str, chosen: _Sign, signs: Sequence[_Sign]) -> _Sign | None:
        """What is said after a yes to a symptom, that it has gone: "I did earlier but it's passed"."""
        over = self._list("over")
        return next(
            (each for each in signs if each.start >= chosen.end and over.search(text, each.start, each.end)), None
        )

    def _reading(self, spoken: Spoken, sign: _Sign, all_signs: Sequence[_Sign], unsure: bool) -> AnswerReading:
        sure = _RELIABILITY[sign.ground]
        if any(each.value is not sign.value for each in all_signs):
            sure -= 0.15
        if unsure:
            sure -= 0.2
        other = Ternary.NO if sign.value is Ternary.YES else Ternary.YES
        rest = 1 - sure
        scores = {sign.value: sure, other: rest * 0.5, Ternary.UNKNOWN: rest * 0.5}
        return AnswerReading(sign.value, spoken.quote(sign.start, sign.end), sure, scores=scores)

    def _content(
        self, ask: Spoken, about: Sequence[str], statements: Sequence[Statement], affirmed: bool
    ) -> list[_Sign]:
        findings = self._lexicon.findings
        signs: list[tuple[bool, _Sign]] = []
        for each in statements:
            if each.unsure:
                continue
            if each.id in about:
                name, value = each.id, each.value
            elif findings[each.id].opposite in about:
                name = findings[each.id].opposite
                value = Ternary.NO if each.value is Ternary.YES else Ternary.YES
            else:
                continue
            value = self._at_time(findings[name].kind, value, each.when, ask, affirmed)
            signs.append((each.when is When.NOW, _Sign(value, Ground.CONTENT, each.start, each.end)))
        current = [sign for now, sign in signs if now]
        chosen = current or [sign for _, sign in signs]
        if len(about) > 1:
            chosen.sort(key=lambda sign: sign.value is Ternary.YES)
        return chosen

    def _at_time(self, kind: FindingKind, value: Ternary, when: When, ask: Spoken, affirmed: bool) -> Ternary:
        """The value at the time that the question means, which may name its own: "today or yesterday", "lately"."""
        if value is not Ternary.YES or when is When.NOW:
            return value
        if when in (When.FAR, When.PLANNED):
            return Ternary.NO
        match kind:
            case FindingKind.EVENT | FindingKind.STATE:
                return value
            case FindingKind.ACT:
                if affirmed:
                    return value
                if _SHORT_WINDOW.search(ask.text):
                    return value if when is When.YESTERDAY else Ternary.NO
                return Ternary.NO if "today" in ask.text and not _WINDOW.search(ask.text) else value
            case FindingKind.SYMPTOM:
                return value if _LATELY.search(ask.text) else Ternary.NO

    def _signs(self, spoken: Spoken, ask: Spoken, about: Sequence[str]) -> list[_Sign]:
        negative = bool(_NEGATIVE_ASK.search(ask.text))
        medicine = not OF_MEDICINE.isdisjoint(about)
        signs: list[_Sign] = []
        foreign = False
        for clause in spoken.clauses:
            words = spoken.text[clause.start : clause.end]
            if medicine and is_other_taking(self._list, words):
                foreign = True
                continue
            foreign = self._is_foreign(words, ask, about) or (foreign and _ANAPHOR.match(words) is not None)
            found = self._signs_of(spoken, clause, about, negative)
            signs.extend(each for each in found if not foreign or each.ground is not Ground.MANNER)
        if not signs and not about:
            signs.extend(_repeats_ask(spoken, ask, self._list("negations")))
        if not signs and about and not foreign:
            signs.extend(self._presumed(spoken, about))
        return signs

    def _presumed(self, spoken: Spoken, about: Sequence[str]) -> Iterator[_Sign]:
        """What a reply in words of its own most likely means: a trouble named is there, a thing told of is done."""
        kinds = {self._lexicon.findings[name].kind for name in about}
        text = spoken.text
        if spoken.question or len(text.split()) > _PRESUMED_WORDS or self._list("others").search(text):
            return
        if self._list("hypothetical").search(text) or self._list("past_far").search(text):
            return
        if FindingKind.EVENT in kinds or self._list("no").search(text) or self._list("fine").search(text):
            return
        cue = self._list("troubles") if FindingKind.SYMPTOM in kinds else _TOLD
        found = cue.search(text) if FindingKind.STATE not in kinds else None
        if found and not self._list("negations").search(text, 0, found.start()):
            yield _Sign(Ternary.YES, Ground.MANNER, *found.span())

    def _is_foreign(self, words: str, ask: Spoken, about: Sequence[str]) -> bool:
        """Whether a clause tells of a thing or a doing that was not asked about: "the weather's terrible"."""
        subject, verb = _SUBJECT.match(words), _VERB.match(words)
        if subject is None and (verb is None or _GENERAL_VERB.fullmatch(verb[1])):
            return False
        own = subject[1] if subject else verb[1] if verb else ""
        if subject and "pain" in about and self._list("body_parts").search(own):
            return False
        findings = [self._lexicon.findings[name] for name in about]
        return (
            bool(about)
            and own[:4] not in ask.text
            and not any(
                each.topic.search(own) or each.present.search(own) or each.lead.endswith(f"{own} is")
                for each in findings
            )
        )

    def _signs_of(self, spoken: Spoken, clause: Clause, about: Sequence[str], negative: bool) -> list[_Sign]:
        kinds = {self._lexicon.findings[name].kind for name in about}
        words = spoken.text[clause.start : clause.end]
        signs: list[_Sign] = []

        def sign(value: Ternary, ground: Ground, match: re.Match[str]) -> None:
            signs.append(_Sign(value, ground, clause.start + match.start(), clause.start + match.end()))

        if clause.mark == "?":
            return signs
        if echo := _ECHO.match(words):
            sign(Ternary.NO if echo[2] else Ternary.YES, Ground.ECHO, echo)
            return signs
        if negative and (agrees := _AGREES.match(words)):
            sign(Ternary.NO, Ground.WORD, agrees)
            return signs
        stripped = re.match(
            r"(?:(?:and|well|but|so|now|just|i am|it is|that is|i have|honestly|really|god|lord|why) )*", words
        )
        begin = stripped.end() if stripped else 0
        symptom = FindingKind.SYMPTOM in kinds  # how something is, which good and bad words answer
        state = FindingKind.STATE in kinds
        if (symptom or state) and (fine := _at(self._list("fine"), words, begin)):
            sign(Ternary.NO if symptom else Ternary.YES, Ground.MANNER, fine)
            return signs
        if symptom and (persists := self._list("persists").search(words)) and not self._list("others").search(words):
            sign(Ternary.YES, Ground.MANNER, persists)
            return signs
        for at in dict.fromkeys((0, begin)):
            no = _at(self._list("no"), words, at)
            yes = _at(self._list("yes"), words, at)
            if symptom and (unable := _UNABLE.match(words, at)):
                sign(Ternary.YES, Ground.MANNER, unable)
                return signs
            if no and (not yes or no.end() >= yes.end()):
                if not re.match(r" (?:problem|bother|trouble|worries)", words[no.end() :]):
                    sign(Ternary.NO, Ground.WORD, no)
                return signs
            if yes:
                sign(Ternary.YES, Ground.WORD, yes)
                return signs
        if len(words.split()) <= _FINAL_WORDS and (final := _FINAL.fullmatch(words)):
            sign(Ternary.YES if final[1] else Ternary.NO, Ground.WORD, final)
            return signs
        if (symptom or state) and (poor := _NOT_GOOD.match(words)):
            sign(Ternary.YES if symptom else Ternary.NO, Ground.MANNER, poor)
            return signs
        if kinds and (denied := _NOT.match(words)):
            sign(Ternary.NO, Ground.MANNER, denied)
            return signs
        over = self._list("over").search(words)
        if over and symptom and not self._list("negations").search(words, 0, over.start()):
            sign(Ternary.NO, Ground.MANNER, over)
            return signs
        others = self._list("others").search(words)
        if not others:
            fine = self._list("fine").search(words)
            bad = self._list("bad").search(words)
            if fine and (symptom or state) and not self._list("negations").search(words, 0, fine.start()):
                sign(Ternary.NO if symptom else Ternary.YES, Ground.MANNER, fine)
                return signs
            if bad and (symptom or state):
                sign(Ternary.YES if symptom else Ternary.NO, Ground.MANNER, bad)
                return signs
        if FindingKind.ACT in kinds or not kinds:
            if undone := self._list("not_done").search(words):
                sign(Ternary.NO, Ground.MANNER, undone)
                return signs
            done = self._list("done").search(words)
            if done and not self._list("planned").search(words, 0, done.start()):
                sign(Ternary.YES, Ground.MANNER, done)
                return signs
        if FindingKind.ACT in kinds and (planned := self._list("planned").search(words)):
            sign(Ternary.NO, Ground.MANNER, planned)
            return signs
        if _PAINS & set(about) and (hurting := self._list("hurting").search(words)):
            denied = self._list("negations").search(words, 0, hurting.start())
            sign(Ternary.NO if denied else Ternary.YES, Ground.MANNER, hurting)
            return signs
        hedged = self._list("hedged_yes").search(words)
        if (
            hedged
            and not others
            and len(words.split()) <= 7
            and not self._list("negations").search(words, 0, hedged.start())
        ):
            sign(Ternary.YES, Ground.MANNER, hedged)
        return signs


def _at(phrases: Phrases, words: str, at: int) -> re.Match[str] | None:
    match = phrases.search(words, at)
    return match if match is not None and match.start() == at else None


def _unknown(spoken: Spoken, words: re.Match[str]) -> AnswerReading:
    scores = {Ternary.YES: 0.08, Ternary.NO: 0.08, Ternary.UNKNOWN: 0.84}
    return AnswerReading(Ternary.UNKNOWN, spoken.quote(*words.span()), scores[Ternary.UNKNOWN], scores=scores)


def _outweighs(firm: Sequence[_Sign], unsure: re.Match[str]) -> bool:
    """Whether a firm word stands against the doubt, as in "no, I couldn't say why"."""
    return any(each.end <= unsure.start() and each.ground is Ground.WORD for each in firm) and not any(
        each.start > unsure.start() for each in firm
    )


def _repeats_ask(spoken: Spoken, ask: Spoken, negations: Phrases) -> list[_Sign]:
    """A reply in the question's own words affirms it, or denies it when negated."""
    stems = {word[:4] for word in _CONTENT_WORD.findall(ask.text) if word not in _ASK_WORDS}
    for match in _CONTENT_WORD.finditer(spoken.text):
        if match[0] not in _ASK_WORDS and match[0][:4] in stems:
            clause = spoken.clause_at(match.start())
            if clause.mark == "?":
                continue
            denied = negations.search(spoken.text, clause.start, clause.end)
            value = Ternary.NO if denied else Ternary.YES
            return [_Sign(value, Ground.MANNER, match.start(), match.end())]
    return []
