"""Whether who answers the phone says to be the recipient: by name, or in the set phrases of the telephone."""

import re

from carecall.domain.language import Language

_MOST_READ = 200  # characters of a reply that are looked at
_KOREAN_NAME = 3  # syllables of a usual name, the first of them the family's
_SPEAKING = {
    Language.ENGLISH: re.compile(
        r"\b(?:this is (?:she|her|he|him|me)|speaking|(?:that's|that is|it's|it is) me|go ahead|go on|i am$"
        r"|you(?:'ve| have)? got (?:her|him|me))\b",
        re.IGNORECASE,
    ),
    Language.KOREAN: re.compile(
        r"(?:^|\s)(?:(?:네|예|응|어|그래)\s*)?(?:그런데요|그런디요|접니다|전데요|저예요|저에요|나야|나예요|난데|나여|납니다"
        r"|본인(?:이에요|이요|입니다|인데요)?|맞는데요|말씀하세요|말해|말씀해)"
    ),
}
_SOMEBODY_ELSE = {
    Language.ENGLISH: re.compile(
        r"\b(?:not|isn't|wasn't|no|never|her|his|their|daughter|son|wife|husband|sister|brother|niece|nephew|carer|neighbou?r"
        r"|out|away|asleep|died|dead|passed|wrong|who)\b",
        re.IGNORECASE,
    ),
    Language.KOREAN: re.compile(
        "아니|아닌|없|안 계|돌아가|나가|나갔|주무|딸|아들|며느리|사위|손[녀자]|남편|아내|집사람|누구|잘못"
    ),
}
_THIS_IS = re.compile(r"\bthis is (?:her|his)\b(?= *$)|\b(?:got|is) (?:her|him)\b(?= *$)", re.IGNORECASE)


def says_to_be(reply: str, name: str, language: Language) -> bool:
    """Whether the reply says to be this person. Safe for any text."""
    said = reply[:_MOST_READ].replace("’", "'").strip(" .,!?")
    plain = _THIS_IS.sub("this is she", said)
    if _SOMEBODY_ELSE[language].search(plain):
        return False
    return bool(_SPEAKING[language].search(plain)) or any(each in plain.casefold() for each in _names(name))


def _names(name: str) -> tuple[str, ...]:
    """A whole name, each of its parts, and a Korean given name."""
    name = name.casefold().strip()
    given = [name[1:]] if re.fullmatch(f"[가-힣]{{{_KOREAN_NAME}}}", name) else []
    return tuple(each for each in (name, *name.split(), *given) if len(each) > 1)
