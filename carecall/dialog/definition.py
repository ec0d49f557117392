"""A dialog as data: what dialogs/*.yaml holds, as checked values. Loading is in carecall.dialog.files."""

from dataclasses import dataclass, field
from enum import StrEnum

from carecall.domain.codes import Coding
from carecall.domain.finding import AnswerType, Unit
from carecall.domain.language import Language
from carecall.domain.triage import Condition, TriageRule, Urgency


class Feeling(StrEnum):
    """How a statement is to be met: relief after bad news is never right."""

    GOOD = "good"
    BAD = "bad"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Choice:
    id: str
    label: str


@dataclass(frozen=True, slots=True)
class Question:
    """One agenda item."""

    code: str
    type: AnswerType
    ask: tuple[str, ...]  # the wording, then up to two re-ask wordings
    required: bool = True
    unit: Unit | None = None
    choices: tuple[Choice, ...] = ()
    when: Condition | None = None  # asked only while this holds of the findings so far
    bad: tuple[str, ...] = ("yes",)  # values that are bad news: for "do you have a fever" yes, for "have you eaten" no
    coding: tuple[Coding, ...] = ()
    about: tuple[str, ...] = ()  # lexicon finding ids that answer this question; its own code when the lexicon has it
    acknowledge: dict[Feeling, tuple[str, ...]] = field(default_factory=dict)  # vetted, in place of the dialog's own
    opposite: tuple[str, ...] = ()  # lexicon finding ids whose yes means no here, and whose no means yes
    confirm: dict[str, str] = field(default_factory=dict)  # by value: what is said to have been understood
    remembered: bool = False  # about something of an earlier call: dropped when it has been spoken of


@dataclass(frozen=True, slots=True)
class Texts:
    """Vetted wording of everything that is not a question. {name} and {organisation} are filled in; nothing else is.

    Each is a tuple of variants, used in turn so that no sentence is said twice in a row.
    """

    greeting: tuple[str, ...]  # who calls, that it is an automated AI call, and whether {name} is there
    greeting_inbound: tuple[str, ...]  # the same to somebody who called us back
    begin: tuple[str, ...]  # after identity is confirmed, before the first question
    identity_again: tuple[str, ...]  # asks again whether this is {name}
    acknowledge: dict[Feeling, tuple[str, ...]]
    confirm: tuple[str, ...]  # "Did I understand …": {answer} is filled with what was understood
    repeat_lead: tuple[str, ...]  # before repeating the last question for someone who did not hear
    wait: tuple[str, ...]
    silence: tuple[str, ...]  # two gentle prompts
    refuse_medical: tuple[str, ...]
    refuse_out_of_scope: tuple[str, ...]
    service_noted: tuple[str, ...]
    human_noted: tuple[str, ...]
    who_is_this: tuple[str, ...]
    are_you_a_robot: tuple[str, ...]
    small_talk: tuple[str, ...]
    resume: tuple[str, ...]  # leads back to the question after a side step
    resumed: tuple[str, ...]  # a line that dropped is back, and the talk goes on
    forget: tuple[str, ...]  # what was just spoken of will not be remembered
    close: tuple[str, ...]  # the closing line of a completed call
    close_early: tuple[str, ...]  # the recipient says goodbye before the end
    close_later: tuple[str, ...]
    close_wrong_person: tuple[str, ...]  # no health word: identity is not known
    close_opted_out: tuple[str, ...]
    close_silence: tuple[str, ...]
    close_emergency: tuple[str, ...]
    voicemail: tuple[str, ...]  # left on an answering machine: who called, and not about what


@dataclass(frozen=True, slots=True)
class Dialog:
    """One conversation. ``hash`` is the SHA-256 of the file's content and stands in every report made with it."""

    id: str
    language: Language
    version: str
    title: str
    organisation: str  # who calls; a campaign may name its own
    agenda: tuple[Question, ...]
    texts: Texts
    triage: tuple[TriageRule, ...]
    hash: str

    @property
    def name(self) -> str:
        """How people name the dialog: ``wellbeing.ko``."""
        return f"{self.id}.{self.language}"

    def question(self, code: str) -> Question:
        """The agenda item with this code. Raises KeyError."""
        for question in self.agenda:
            if question.code == code:
                return question
        raise KeyError(code)


@dataclass(frozen=True, slots=True)
class RedFlag:
    """A thing that cannot wait, from dialogs/red-flags.*.yaml."""

    id: str
    urgency: Urgency
    title: str  # for the care worker
    say: tuple[str, ...]  # the fixed text, sentence by sentence
    keep_on_line: bool = False  # the talk goes on with stay_on_line instead of closing
    stay_on_line: tuple[str, ...] = ()  # asked while help is on its way, one a turn
