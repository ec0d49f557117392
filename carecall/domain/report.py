"""The report of one call."""

from dataclasses import dataclass
from enum import StrEnum

from carecall.domain.finding import Finding
from carecall.domain.triage import Alert, Urgency, urgency_of


class Outcome(StrEnum):
    """How a call ended. Completed means that the closing line was reached."""

    COMPLETED = "completed"
    EMERGENCY = "emergency"  # a red flag took over the call
    HUNG_UP = "hung_up"  # the recipient left before the closing line
    SAID_GOODBYE = "said_goodbye"  # the recipient ended the talk, and was let go politely
    SILENT = "silent"  # connected, nothing heard
    CALL_LATER = "call_later"
    WRONG_PERSON = "wrong_person"
    OPTED_OUT = "opted_out"
    INTERRUPTED = "interrupted"  # our side died; closed at the next start


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one call, with the dialog that it was made by."""

    dialog_id: str
    dialog_language: str
    dialog_version: str
    dialog_hash: str  # SHA-256 of the dialog's content, hex
    outcome: Outcome
    findings: tuple[Finding, ...]  # in the order of the agenda, then volunteered ones in the order heard
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...] = ()  # wishes and questions passed on to the care worker
    summary: str = ""  # two or three sentences for the care worker, in the dialog's language

    @property
    def urgency(self) -> Urgency:
        return urgency_of(self.alerts)
