"""English sentences: their content words, and clauses from the first person into the third and the second."""

import re
from collections.abc import Iterator

_CONTRACTED = {
    "i'm": "i am",
    "i've": "i have",
    "i'll": "i will",
    "i'd": "i would",
    "we're": "we are",
    "we've": "we have",
    "don't": "do not",
    "doesn't": "does not",
    "didn't": "did not",
    "can't": "cannot",
    "couldn't": "could not",
    "won't": "will not",
    "isn't": "is not",
    "aren't": "are not",
    "wasn't": "was not",
    "haven't": "have not",
    "hasn't": "has not",
}
_THIRD = {"am": "is", "are": "is", "have": "has", "do": "does", "go": "goes", "was": "was", "were": "was", "got": "has"}
_SECOND = {"has": "have", "is": "are", "was": "were", "does": "do", "goes": "go"}
_AS_IT_IS = {"cannot", "could", "will", "had", "did", "should", "must", "can"}
_PAST = re.compile(
    r".+ed|went|ate|slept|fell|saw|took|made|came|got|met|bought|broke|lost|felt|hurt|gave|began|drove|flew|swam|ran|sold"
    r"|left|found|kept|put|quit|cut|caught|woke|rode|read|sat|stood|grew|wore|heard|had|moved|did|was|said|told|knew|paid"
)
_NO_VERB = frozenset(
    ["and", "too", "the", "a", "my", "in", "of", "not", "never", "always", "usually", "often", "sometimes", "only"]
)
_UNRESOLVED = frozenset(["it", "that", "this", "they", "she", "he", "those", "these", "one", "her", "him"])
_ADJECTIVES = frozenset(["tired", "worried", "bored", "retired", "need", "red", "bed", "hundred", "indeed", "hurt"])
_FEWEST_WORDS = 3
_OWN = {"me": "them", "us": "them", "i": "they", "we": "they", "my": "their", "our": "their", "myself": "themselves"}

# What follows a sentence's subject in English, so that the first word is not its verb.
_AFTER_SUBJECT = re.compile(
    r" (?:is|was|are|were|has|had|have|can|cannot|does|did|do|go|goes|went|get|gets|got|comes?|came|flew|ran|died"
    r"|lives?|hurts?|aches?|feels?|keeps?|took|also|no|still)\b"
)


_NO_VERB_ING = frozenset(
    ["nothing", "anything", "something", "everything", "morning", "evening", "during", "raining", "snowing", "being"]
)
NOUN_FIRST = re.compile(
    r"(?:the )?([a-z]+)('s .+| (?:is|are|has|have|was|hurts?|aches?|died|keeps?|comes?|came|went|calls?|called|visits?"
    r"|visited|feels?|still|gets?|got|moved|ran|had)\b.*)",
    re.IGNORECASE,
)
_LIGHT = frozenset(["yes", "yeah", "oh", "well", "and", "but", "then", "just", "also", "so"])


def with_subject(clause: str) -> str:
    """``planted lettuces`` becomes ``I planted lettuces``; a clause that has a subject, or no verb, stays."""
    words = clause.split()
    while words and words[0].lower() in _LIGHT:
        words = words[1:]
    if len(words) < 2:
        return clause
    first = words[0].lower()
    second = words[1].lower()
    if words[0].lower() in ("a", "bit", "touch") and "of" in words[1:3]:
        return " ".join(["I have", *words])
    if first == "been":
        return " ".join(["I have", *words])
    if first == "not" and second.endswith("ing") and second not in _NO_VERB_ING:
        return " ".join(["I am", *words])
    if first.endswith("ing") and len(first) > 4 and first not in _NO_VERB_ING:
        return " ".join(["I am", *words])
    if _PAST.fullmatch(first) and first not in _ADJECTIVES:
        return " ".join(["I", *words])
    if first in ("can't", "cannot"):
        return " ".join(["I", *words])
    return clause


def stems(text: str) -> Iterator[tuple[str, int, int, bool]]:
    """The words of a lower-case text: stem, start and end, and whether it is the verb that a sentence begins with."""
    for match in re.finditer(r"[a-z][a-z'-]*|\d+", text):
        word, end = match.group(0), match.end()
        leads = match.start() == 0 and word.endswith(("s", "ed")) and not _AFTER_SUBJECT.match(text, end)
        yield stem(word), match.start(), end, leads


def stem(word: str) -> str:
    """The word without the endings of plural, third person, past and -ing; alike for forms of the same word."""
    word = word.removesuffix("'s").removesuffix("'")
    for ending, left in (("ies", "y"), ("ied", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + left
            break
    word = word.removesuffix("e") if len(word) > 3 else word
    return word[:-1] if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "ls" else word


def third_person(clause: str) -> str | None:
    """``I take my pills`` becomes ``Takes pills.``; None when the clause is no statement of the speaker's own life."""
    words = " ".join(_CONTRACTED.get(word.lower(), word) for word in clause.split()).split()
    if len(words) < _FEWEST_WORDS or _UNRESOLVED & {word.lower() for word in words}:
        return None
    if words[0].lower() in ("i", "we"):
        told = _verb(words[1].lower())
        return None if told is None else _sentence([told, *words[2:]])
    if words[0].lower() in ("my", "our"):
        subject = words[1].removesuffix("'s")
        belongs = ["is"] if words[1].endswith("'s") else []
        return _sentence([subject, *belongs, *words[2:]])
    return None


def _verb(verb: str) -> str | None:
    """The verb in the third person. None for what is no verb."""
    if verb in _NO_VERB or not verb.isalpha():
        return None
    if verb in _THIRD:
        return _THIRD[verb]
    if verb in _AS_IT_IS or _PAST.fullmatch(verb):
        return verb
    if verb.endswith(("s", "x", "z", "ch", "sh")):
        return f"{verb}es"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}s"


def _sentence(words: list[str]) -> str:
    text = " ".join(_OWN.get(word.lower(), word) for word in words)
    return f"{text[0].upper()}{text[1:]}."


def second_person(sentence: str, *, named: bool = False) -> str:
    """``Has a sore hip.`` becomes ``you have a sore hip``, ``Hip still hurts.`` ``your hip still hurts``.

    ``named``: a subject of its own may be a name and stays as it is.
    """
    said = sentence.strip().rstrip(".")
    first, _, rest = said.partition(" ")
    verb = first.lower()
    if not first:
        return said
    if _AFTER_SUBJECT.match(f" {rest}"):
        return said if named else f"your {verb} {rest}"
    if verb in _SECOND:
        return f"you {_SECOND[verb]} {rest}".rstrip()
    if verb in _AS_IT_IS or _PAST.fullmatch(verb):
        return f"you {verb} {rest}".rstrip()
    if verb.endswith("s") and not verb.endswith("ss"):
        return f"you {_base(verb)} {rest}".rstrip()
    return said if named else f"your {verb} {rest}".rstrip()


def _base(verb: str) -> str:
    if verb.endswith("ies"):
        return f"{verb[:-3]}y"
    return verb[:-2] if verb.endswith(("sses", "xes", "zes", "ches", "shes")) else verb[:-1]
