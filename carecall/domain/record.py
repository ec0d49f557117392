"""What is handed on to other systems: a person, and a call with its report and what humans corrected in it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from carecall.domain.finding import FindingValue
from carecall.domain.language import Language
from carecall.domain.report import Report


@dataclass(frozen=True, slots=True)
class Person:
    """A recipient as others know them."""

    id: UUID
    name: str
    phone: str
    language: Language
    time_zone: str  # IANA name


@dataclass(frozen=True, slots=True)
class Correction:
    """What a human made of a finding."""

    id: UUID
    code: str
    value: FindingValue
    reason: str
    user_id: UUID
    at: datetime


@dataclass(frozen=True, slots=True)
class ReportedCall:
    """A call that has its report."""

    attempt_id: UUID
    recipient_id: UUID
    began_at: datetime
    written_at: datetime  # the report
    report: Report
    corrections: tuple[Correction, ...] = ()  # oldest first

    @property
    def changed_at(self) -> datetime:
        """When the record last changed."""
        return max([self.written_at, *(each.at for each in self.corrections)])
