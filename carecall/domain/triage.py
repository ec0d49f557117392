"""Triage: rules from findings and red flags to an urgency. Conditions also decide which questions branch open."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from carecall.domain.finding import Evidence, Findings, FindingValue, Ternary


class Urgency(StrEnum):
    EMERGENCY = "emergency"
    URGENT = "urgent"
    ATTENTION = "attention"
    ROUTINE = "routine"

    @property
    def rank(self) -> int:
        """0 for what cannot wait, 3 for what needs nobody."""
        return list(Urgency).index(self)


@dataclass(frozen=True, slots=True)
class Is:
    """A finding has one of the values."""

    finding: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """A numeric finding lies in [at_least, below)."""

    finding: str
    at_least: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """At least so many of the findings are yes."""

    findings: tuple[str, ...]
    at_least: int


@dataclass(frozen=True, slots=True)
class AllOf:
    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    conditions: "tuple[Condition, ...]"


Condition = Is | Between | Count | AllOf | AnyOf


def _value(findings: Findings, code: str) -> FindingValue | None:
    finding = findings.get(code)
    return None if finding is None else finding.value


def holds(condition: Condition, findings: Findings) -> bool:
    """Whether the condition is true of what has been found so far. An absent finding satisfies nothing."""
    match condition:
        case Is(code, values):
            value = _value(findings, code)
            return isinstance(value, str) and str(value) in values
        case Between(code, at_least, below):
            value = _value(findings, code)
            if not isinstance(value, int | float):
                return False
            return (at_least is None or value >= at_least) and (below is None or value < below)
        case Count(codes, at_least):
            return sum(_value(findings, code) == Ternary.YES for code in codes) >= at_least
        case AllOf(conditions):
            return all(holds(each, findings) for each in conditions)
        case AnyOf(conditions):
            return any(holds(each, findings) for each in conditions)
        case _:
            assert_never(condition)


def findings_of(condition: Condition) -> tuple[str, ...]:
    """The codes that a condition speaks of, in order, without repeats."""
    match condition:
        case Is(code) | Between(code):
            return (code,)
        case Count(codes):
            return codes
        case AllOf(conditions) | AnyOf(conditions):
            return tuple(dict.fromkeys(code for each in conditions for code in findings_of(each)))
        case _:
            assert_never(condition)


@dataclass(frozen=True, slots=True)
class TriageRule:
    """When the condition holds, the call has at least this urgency, for this reason."""

    id: str
    urgency: Urgency
    when: Condition
    reason: str  # a sentence for the care worker


@dataclass(frozen=True, slots=True)
class Alert:
    """An urgency that a human must acknowledge."""

    code: str  # a red flag's id or a triage rule's id
    urgency: Urgency
    reason: str
    evidence: tuple[Evidence, ...]


def triage(findings: Findings, rules: Sequence[TriageRule]) -> tuple[Alert, ...]:
    """The alerts that the rules raise, most urgent first; each rests on the evidence of the findings that raised it."""
    alerts = [
        Alert(rule.id, rule.urgency, rule.reason, _evidence(rule.when, findings))
        for rule in rules
        if rule.urgency is not Urgency.ROUTINE and holds(rule.when, findings)
    ]
    return tuple(sorted(alerts, key=lambda alert: alert.urgency.rank))


def _evidence(condition: Condition, findings: Findings) -> tuple[Evidence, ...]:
    """What the parts of a condition that hold rest on."""
    match condition:
        case Is(code) | Between(code):
            return findings[code].evidence if holds(condition, findings) else ()
        case Count(codes):
            present = [code for code in codes if _value(findings, code) == Ternary.YES]
            return tuple(evidence for code in present for evidence in findings[code].evidence)
        case AllOf(conditions) | AnyOf(conditions):
            parts = [each for each in conditions if holds(each, findings)]
            found = [evidence for each in parts for evidence in _evidence(each, findings)]
            return tuple(dict.fromkeys(found))
        case _:
            assert_never(condition)


def urgency_of(alerts: Sequence[Alert]) -> Urgency:
    """The most urgent of the alerts, routine when there is none."""
    return min((alert.urgency for alert in alerts), key=lambda urgency: urgency.rank, default=Urgency.ROUTINE)
