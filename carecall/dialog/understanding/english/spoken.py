"""English speech in a normal form that rules can read, with the way back to the words as they were said.

Lower case, contractions written out, no fillers, no punctuation; punctuation and joining words live on as clauses.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

LONGEST = 10_000  # characters that are looked at; a longer turn is more than ten minutes of speech

_TOKEN = re.compile(r"\d+(?:[.,:/]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*'?|[.?!,;:…—–-]+|[½¼¾°%]|&")
_FILLERS = frozenset(
    [
        "um",
        "uh",
        "er",
        "erm",
        "umm",
        "uhh",
        "hmm",
        "hm",
        "mm",
        "ah",
        "oh",
        "ooh",
        "eh",
        "ach",
        "aw",
        "aww",
        "och",
        "phew",
        "gosh",
        "goodness",
        "lordy",
    ]
)
_LOST_APOSTROPHE = frozenset(
    [
        "throats",
        "noses",
        "heads",
        "chests",
        "breathings",
        "stomachs",
        "appetites",
        "moods",
        "temperatures",
        "fevers",
        "backs",
        "sleeps",
        "hearings",
        "heatings",
        "boilers",
        "batterys",
        "voices",
        "hearts",
        "tongues",
        "mums",
        "dads",
    ]
)
_BEFORE_ZERO = frozenset(["one", "ninety", "thirty", "hundred"])
_STUTTER = frozenset(
    [
        "i",
        "the",
        "a",
        "my",
        "it",
        "is",
        "and",
        "to",
        "of",
        "in",
        "on",
        "he",
        "she",
        "we",
        "you",
        "they",
        "was",
        "am",
        "have",
        "not",
        "do",
        "did",
        "can",
    ]
)

_WHOLE = {
    "can't": "can not", "cannot": "can not", "cant": "can not", "won't": "will not", "wont": "will not",
    "shan't": "will not", "ain't": "is not", "aint": "is not", "d'you": "do you", "d'ya": "do you", "'em": "them",
    "gonna": "going to", "gotta": "got to", "wanna": "want to", "kinda": "kind of", "sorta": "sort of",
    "lemme": "let me", "gimme": "give me", "dunno": "do not know", "cos": "because", "'cause": "because",
    "cuz": "because", "coz": "because", "im": "i am", "ive": "i have", "thats": "that is", "theres": "there is",
    "whats": "what is", "whos": "who is", "hes": "he is", "shes": "she is", "its": "it is", "theyre": "they are",
    "youre": "you are", "youve": "you have", "weve": "we have", "theyve": "they have", "youd": "you would",
    "ok": "okay", "o.k": "okay", "mum's": "mum 's", "let's": "let us", "y'all": "you all", "ma'am": "madam",
    "o'clock": "oclock", "temp": "temperature", "temps": "temperature", "tummy": "stomach", "belly": "stomach",
    "telly": "tv", "television": "tv", "grey": "gray", "neighbour": "neighbor", "neighbours": "neighbors",
    "anymore": "any more", "alright": "all right", "gp": "doctor", "meds": "medicine", "medication": "medicine",
    "medications": "medicine", "medicines": "medicine", "diarrhoea": "diarrhea", "nauseated": "nauseous",
    "snuffly": "stuffy", "mam": "mum", "gotten": "got", "ya": "you", "yer": "your", "m": "am", "re": "are",
    "ringing": "ringing", "&": "and", "nowt": "nothing", "owt": "anything", "summat": "something", "wee": "little",
    "colour": "color", "centre": "center", "id": "i would", "cheers": "thanks", "nuffin": "nothing",
    "c": "celsius", "f": "fahrenheit", "°": "degrees", "½": "and a half", "¼": "and a quarter",
    "¾": "and three quarters",
}  # fmt: skip
_NEGATED = re.compile(r"(do|does|did|is|are|was|were|have|has|had|could|would|should|must|might|need|dare)n'?t")
_ENDINGS = (("'ll", "will"), ("'ve", "have"), ("'re", "are"), ("'m", "am"), ("'d", "would"))
_PRONOUNS_IS = frozenset(
    ["it", "that", "there", "here", "he", "she", "what", "who", "where", "how", "this", "everything", "nothing", "when"]
)
_ILL = re.compile(r"(?:be|have|take|go|do|call|get|eat|ring|just|say|tell|never|not|try|see|need|let|ask|think|give)$")


def _expand(word: str, following: str) -> str:
    whole = _WHOLE.get(word)
    if whole is not None:
        return whole
    negated = _NEGATED.fullmatch(word)
    if negated is not None:
        return f"{negated[1]} not"
    for ending, full in _ENDINGS:
        if word.endswith(ending):
            return f"{word.removesuffix(ending)} {full}".strip()
    if word.endswith("'s"):
        stem = _WHOLE.get(word[:-2], word[:-2])
        return f"{stem} is" if stem in _PRONOUNS_IS else f"{stem} s"
    if word == "ill" and _ILL.match(following):
        return "i will"
    if word in _LOST_APOSTROPHE:
        return f"{word[:-1]} s"
    return word.strip("'")


@dataclass(frozen=True, slots=True)
class Clause:
    """A stretch of the normal form, [start, end) in its characters, with what punctuation follows it."""

    start: int
    end: int
    mark: str  # "", ",", ".", "!" or "?"
    sentence: int  # clauses of one sentence share its number


_BREAK_BEFORE = re.compile(
    r"(?<= )(?:"
    r"but|though|although|however|except|apart from|other than|because|while|whereas|unless|until|"
    r"then|otherwise|instead|anyway|"
    r"(?:and|or|so|yet|still|now|just|only|it is just|just a|mind you|even so|touch wood|thank god|thank goodness)"
    r"(?= (?:i|my|it|that|he|she|they|we|you|there|no|not|never|the|this|his|her|had|have|has|can|could|did|do|am|is|"
    r"got|been|feel|feeling|been|went|going|none|nothing|nobody|woke|slept|ate|took|a|an|some|then|just|still|"
    r"everything|everyone|never|hardly|barely|what|who|how|now|today|yes|dizzy|worn|tired|couldn)\b)|"
    r"i(?= (?:am|have|had|do|did|was|can|could|feel|felt|got|get|would|will|just|still|never|went|took|ate|think|"
    r"hardly|really|only|slept|woke|fell|keep|ache|sleep|know|want|need|might|ran|see|saw|hurt|must|"
    r"used|haven|lost)\b)|"
    r"it is|it was|that is|that was|there is|there was|he is|she is|they are|we are|you are|he|she|they|"
    r"my (?=\w+ (?:is|s|are|has|was|hurts?|aches?|feels?|keeps?))|"
    r"(?:no|none|not|nothing) (?=\w+ (?:either|no|not|at all|or)\b)|no (?=\w+ no )|no more |"
    r"please|thanks|thank you"
    r")\b"
)
_NO_BREAK_AFTER = re.compile(
    r"\b(?:i|that|when|if|think|reckon|believe|guess|suppose|say|said|says|know|sure|hope|wish|as|"
    r"than|what|where|how|why|"
    r"before|after|since|every time|time|(?<!at )all|like|and|or|but|so|then|because|though|although|while|until|"
    r"unless|except|"
    r"whether|did|do|have|am|can|will|should|could|would|is|are|was|only|which|who|tell|told|thought|feel|felt|mean|"
    r"the|a|where|just|still|now|once|in case|too|being|swear|wonder|wondering|had|minute|second|moment|makes?|made|"
    r"anything|something|everything|nothing|thing|one|ever|case|bet|afraid|does|if only|yes|no)$"
)
_JOINED_SUBJECT = re.compile(r"and (?:i|my) ")  # begins a clause, whatever word stands before
_NO_ANSWER_WORD = re.compile(
    r"no(?= (?:i|it|my|the|that|there|just|not|we|he|she|they|but|only|thank|thanks|dear|love|sir|"
    r"madam|never|still|all|"
    r"and|because|nothing|none|no|actually|really|you|they|honey|pet|hen|way|this|well|im|so|"
    r"everything|touch|can|do|did|"
    r"have|am|luckily|fortunately|bless|thankfully|doctor|dearie|sweetheart|darling|hon|nope|nah|"
    r"slept|ate|took|went)\b)"
)


@dataclass(frozen=True)
class Spoken:
    """A reply and its normal form."""

    reply: str
    text: str
    _starts: tuple[int, ...]  # of each word in the normal form
    _places: tuple[tuple[int, int], ...]  # of each word in the reply
    _marks: tuple[tuple[int, str], ...]  # punctuation: the offset in the normal form that it stands before

    @classmethod
    def of(cls, reply: str, longest: int = LONGEST) -> "Spoken":
        """The normal form of a reply. Any text will do; what lies beyond ``longest`` characters is not read."""
        source = "".join(map(_plain, reply[:longest]))
        tokens = [(match[0], match.start(), match.end()) for match in _TOKEN.finditer(source)]
        words: list[str] = []
        starts: list[int] = []
        places: list[tuple[int, int]] = []
        marks: list[tuple[int, str]] = []
        length = 0
        for index, (token, start, end) in enumerate(tokens):
            if token[0] in ".?!,;:…—–-":
                mark = _mark(token)
                if mark and words and not (marks and marks[-1][0] == length):
                    marks.append((length, mark))
                continue
            following = tokens[index + 1][0] if index + 1 < len(tokens) else ""
            zero = token == "oh" and words and words[-1] in _BEFORE_ZERO  # "one oh two"
            if (token in _FILLERS and not zero) or (words and token == words[-1] and token in _STUTTER):
                continue
            for word in _expand(token, following).split():
                words.append(word)
                starts.append(length)
                places.append((start, end))
                length += len(word) + 1
        return cls(reply, " ".join(words), tuple(starts), tuple(places), tuple(marks))

    def quote(self, start: int, end: int) -> str:
        """The words of the reply that the stretch [start, end) of the normal form stands for."""
        if not self._starts or start >= end:
            return ""
        first = max(bisect_right(self._starts, start) - 1, 0)
        last = max(bisect_left(self._starts, end) - 1, first)
        return self.reply[self._places[first][0] : self._places[last][1]]

    @property
    def whole(self) -> str:
        """All words of the reply, without what stands around them."""
        return self.quote(0, len(self.text))

    @cached_property
    def question(self) -> bool:
        """Whether some sentence ends with a question mark."""
        return any(mark == "?" for _, mark in self._marks)

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        """The reply in clauses: at punctuation, joining words, and where a new subject begins."""
        borders: dict[int, str] = {offset: mark for offset, mark in self._marks if offset < len(self.text)}
        for match in _BREAK_BEFORE.finditer(self.text):
            start = match.start()
            joined = _JOINED_SUBJECT.match(self.text, start)
            if start not in borders and (
                joined or not _NO_BREAK_AFTER.search(self.text, max(0, start - 24), start - 1)
            ):
                borders[start] = ""
        for match in re.finditer(r"\byes |" + _NO_ANSWER_WORD.pattern + " ", self.text):
            borders.setdefault(match.end(), "")
        clauses: list[Clause] = []
        begin, sentence = 0, 0
        last = self._marks[-1][1] if self._marks and self._marks[-1][0] >= len(self.text) else ""
        for offset, mark in [*sorted(borders.items()), (len(self.text) + 1, last)]:
            if offset > begin:
                clauses.append(Clause(begin, offset - 1, mark, sentence))
                begin = offset
            if mark in (".", "?", "!"):
                sentence += 1
        return tuple(clauses)

    def clause_at(self, offset: int) -> Clause:
        """The clause in which the offset lies."""
        place = bisect_left(self.clauses, offset, key=lambda clause: clause.end)
        return self.clauses[place] if place < len(self.clauses) else Clause(0, len(self.text), "", 0)

    def clauses_between(self, start: int, end: int) -> Sequence[Clause]:
        """The clauses that reach into the stretch [start, end)."""
        first = bisect_left(self.clauses, start, key=lambda clause: clause.end)
        last = bisect_left(self.clauses, end, key=lambda clause: clause.start)
        return self.clauses[min(first, len(self.clauses) - 1) : max(last, first + 1)]


@cache
def _plain(character: str) -> str:
    if character in "’‘`´":
        return "'"
    lower = character.lower()
    return lower if len(lower) == 1 and character.isprintable() else " "


def _mark(token: str) -> str:
    if token == "-":
        return ""
    for mark in "?!":
        if mark in token:
            return mark
    return "," if token[0] in ",;:—–" or len(token) > 1 else "."
