"""How far a call is, as one value; and what the policy is given to go on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from carecall.dialog.acts import Line
from carecall.dialog.definition import Dialog, RedFlag
from carecall.dialog.understanding.meaning import AnswerReading, Understanding
from carecall.domain.finding import Evidence, Findings, FindingValue, Layer
from carecall.domain.report import Outcome
from carecall.domain.triage import Alert


class Stage(StrEnum):
    IDENTITY = "identity"  # not yet known whether this is the right person
    AGENDA = "agenda"
    EMERGENCY = "emergency"  # a red flag holds the call, the person is kept on the line
    CLOSING = "closing"  # the goodbye has been decided


@dataclass(frozen=True, slots=True)
class Candidate:
    """An unsure answer that is being confirmed."""

    value: FindingValue
    evidence: Evidence
    layer: Layer


@dataclass(frozen=True, slots=True)
class State:
    """How far the call is. Mappings are never changed in place."""

    stage: Stage = Stage.IDENTITY
    asking: str | None = None  # code of the question that the recipient replies to
    candidate: Candidate | None = None
    puts: Mapping[str, int] = field(default_factory=dict)  # how often each question was put
    cuts: Mapping[str, int] = field(default_factory=dict)  # how often a question was cut off
    introduced: bool = True  # the greeting was heard: who calls, and that it is an AI
    identity_puts: int = 1  # the greeting asks
    findings: Findings = field(default_factory=dict)  # in the order first heard
    unusable: Mapping[str, tuple[Evidence, ...]] = field(default_factory=dict)  # replies that answered nothing
    unsure: Mapping[str, int] = field(default_factory=dict)  # how often someone said that they do not know
    alerts: tuple[Alert, ...] = ()  # red flags raised, in order
    emergency: str | None = None  # the red flag that took over the call
    stayed: int = 0  # how many of its stay_on_line sentences have been said
    unsaid: str | None = None  # a red flag whose text was cut off: it is owed
    notes: tuple[str, ...] = ()
    dropped: frozenset[str] = frozenset()  # codes of follow-ups that need not be asked any more
    silences: int = 0  # in a row
    heard: bool = False  # anything at all
    outcome: Outcome | None = None  # None: the closing line is not reached
    farewell: Line = Line.CLOSE
    farewells: int = 0  # how often it was said


@dataclass(frozen=True, slots=True)
class Heard:
    """One recipient turn, understood."""

    turn: int  # index of the turn
    text: str
    understanding: Understanding
    started_s: float | None = None
    further: tuple[tuple[str, AnswerReading], ...] = ()  # what it says to other open questions, by code
    speaks_of: tuple[str, ...] = ()  # codes of the follow-ups whose subject it speaks of
    says_name: bool = False  # it says to be the recipient
    wants_forgotten: bool = False  # it asks that something is not remembered

    def evidence(self, quote: str) -> Evidence:
        """The quote as evidence; the whole turn when the quote does not stand in it."""
        return Evidence(self.turn, quote if quote and quote in self.text else self.text, self.started_s)


@dataclass(frozen=True, slots=True)
class Script:
    """What the policy goes by."""

    dialog: Dialog
    red_flags: Mapping[str, RedFlag]
