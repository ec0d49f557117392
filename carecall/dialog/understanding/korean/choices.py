"""Which of a question's choices a Korean reply takes."""

import re
from collections.abc import Sequence

from carecall.dialog.definition import Choice
from carecall.dialog.understanding.korean.clauses import Clause
from carecall.dialog.understanding.lexicon import Lexicon

_TAIL = re.compile(r"(?:았어요|었어요|졌어요|해요|아요|어요|예요|이에요|입니다|습니다|음|함|요|다)$")
_REJECTED = re.compile(
    r"[가-힣]{0,3}\s?(?:말고|아니[고라]|안\s?[돼되]|빼고|은 곤란|는 곤란|보다|보담|싫)|"
    r"[엔은는]\s?[가-힣]{1,8}(?:니까|거든)|에?[은는]\s?[가-힣]{1,6}\s?(?:있[어으]|일해|나가)|[은는]\s?(?:괜찮|멀쩡|안\s?[돼되아]|바[쁘빠]|못|싫|병원|복지관|없)"
)
_DENIED = re.compile(r"(?<![가-힣])(?:안|못)\s?\Z")


def choice_in(
    text: str, choices: Sequence[Choice], clauses: Sequence[Clause], lexicon: Lexicon
) -> tuple[str, int, int] | None:
    """The id of the choice and where it is said; a later one wins. None: none is said."""
    found: list[tuple[int, int, str]] = []
    for choice in choices:
        spans = [match.span() for match in lexicon.phrases(f"choice_{choice.id}").finditer(text)]
        stem = _TAIL.sub("", choice.label.strip())
        if len(stem) >= 2 or stem == choice.label.strip():
            spans += [match.span() for match in re.finditer(re.escape(stem), text)] if stem else []
        for start, end in spans:
            clause = next((each for each in clauses if each.start <= start < each.end), None)
            if clause is not None and clause.asking and len(choices) != 3:
                continue
            if not _REJECTED.match(text, end) and not _DENIED.search(text, 0, start):
                found.append((start, end, choice.id))
    if not found:
        return None
    widest = [
        each
        for each in found
        if not any(
            other[0] <= each[0]
            and each[1] <= other[1]
            and (other[1] - other[0]) > (each[1] - each[0])
            and other[2] != each[2]
            for other in found
        )
    ]
    now = [each for each in widest if not any(c.past and not c.asking and c.start <= each[0] < c.end for c in clauses)]
    named = [each for each in (now or widest) if each[2] != "other"] or now or widest
    start, end, identity = max(named, key=lambda each: (each[0], each[1]))
    return identity, start, end
