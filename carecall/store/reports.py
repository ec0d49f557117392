"""A report as rows: written and read inside a transaction that the caller has begun."""

import uuid
from collections.abc import Sequence

from sqlmodel import Session, col, delete, select

from carecall.domain.finding import Evidence, Finding
from carecall.domain.report import Report
from carecall.domain.triage import Alert
from carecall.store.codec import dump_notes, dump_value, load_notes, load_value
from carecall.store.days import tell_day_of
from carecall.store.deliveries import send_out
from carecall.store.engine import Database
from carecall.store.tables import AlertRow, AttemptRow, EvidenceRow, FindingRow, ReportRow, ValueKind


def write_report(session: Session, database: Database, attempt: AttemptRow, report: Report) -> None:
    """Adds the report with its findings and alerts. Alerts that were raised in the call stay, acknowledged or not."""
    now = database.now()
    session.add(
        ReportRow(
            attempt_id=attempt.id,
            dialog_id=report.dialog_id,
            dialog_language=report.dialog_language,
            dialog_version=report.dialog_version,
            dialog_hash=report.dialog_hash,
            outcome=report.outcome,
            urgency=report.urgency,
            notes=dump_notes(report.notes),
            summary=report.summary or None,
            written_at=now,
        )
    )
    evidence: list[EvidenceRow] = []
    for position, finding in enumerate(report.findings):
        kind, value = dump_value(finding.value)
        row = FindingRow(
            attempt_id=attempt.id,
            code=finding.code,
            position=position,
            kind=kind,
            value=None if kind is ValueKind.WORDS else value,
            words=value if kind is ValueKind.WORDS else None,
            unit=finding.unit,
            layer=finding.layer,
        )
        session.add(row)
        evidence += _evidence_rows(finding.evidence, finding_id=row.id)
    raised = {row.code: row for row in session.exec(select(AlertRow).where(AlertRow.attempt_id == attempt.id))}
    alert_rows: list[AlertRow] = []
    for position, alert in enumerate(report.alerts):
        alert_row = raised.get(alert.code)
        if alert_row is None:
            alert_row = _alert_row(database, attempt.id, alert)
            session.add(alert_row)
        else:
            if alert.urgency.rank < alert_row.urgency.rank and alert_row.acknowledged_at is None:
                alert_row.escalate_at = database.goes_on_at(alert.urgency)
            alert_row.urgency, alert_row.reason = alert.urgency, alert.reason
            session.exec(delete(EvidenceRow).where(col(EvidenceRow.alert_id) == alert_row.id))
        alert_row.position = position
        evidence += _evidence_rows(alert.evidence, alert_id=alert_row.id)
        alert_rows.append(alert_row)
    session.flush()  # evidence and deliveries point at what has just been added
    session.add_all(evidence)
    for alert_row in alert_rows:
        send_out(session, database, alert_row)
    attempt.outcome = report.outcome
    tell_day_of(session, attempt)


def write_alert(session: Session, database: Database, attempt_id: uuid.UUID, alert: Alert) -> None:
    """Adds an alert that stands in no report yet."""
    row = _alert_row(database, attempt_id, alert)
    session.add(row)
    session.flush()
    send_out(session, database, row)
    session.add_all(_evidence_rows(alert.evidence, alert_id=row.id))
    tell_day_of(session, session.get_one(AttemptRow, attempt_id))


def _alert_row(database: Database, attempt_id: uuid.UUID, alert: Alert) -> AlertRow:
    return AlertRow(
        attempt_id=attempt_id,
        code=alert.code,
        urgency=alert.urgency,
        reason=alert.reason,
        raised_at=database.now(),
        escalate_at=database.goes_on_at(alert.urgency),
    )


def _evidence_rows(
    evidence: Sequence[Evidence], *, finding_id: uuid.UUID | None = None, alert_id: uuid.UUID | None = None
) -> list[EvidenceRow]:
    return [
        EvidenceRow(
            finding_id=finding_id,
            alert_id=alert_id,
            position=position,
            turn_index=each.turn,
            quote=each.quote,
            start_s=each.start_s,
        )
        for position, each in enumerate(evidence)
    ]


def read_report(session: Session, attempt_id: uuid.UUID) -> Report | None:
    """The report as it was given to write_report."""
    report = session.get(ReportRow, attempt_id)
    if report is None:
        return None
    rows = session.exec(
        select(FindingRow).where(FindingRow.attempt_id == attempt_id).order_by(col(FindingRow.position))
    ).all()
    evidence = evidence_of(session, findings=[row.id for row in rows])
    findings = tuple(
        Finding(
            row.code,
            load_value(row.kind, (row.words if row.kind is ValueKind.WORDS else row.value) or ""),
            evidence.get(row.id, ()),
            row.layer,
            row.unit,
        )
        for row in rows
    )
    return Report(
        report.dialog_id,
        report.dialog_language,
        report.dialog_version,
        report.dialog_hash,
        report.outcome,
        findings,
        tuple(read_alerts(session, attempt_id, reported=True)),
        load_notes(report.notes),
        report.summary or "",
    )


def read_alerts(session: Session, attempt_id: uuid.UUID, *, reported: bool = False) -> list[Alert]:
    """The alerts of a call as raised; with ``reported`` those of its report, in the report's order."""
    query = select(AlertRow).where(AlertRow.attempt_id == attempt_id)
    if reported:
        query = query.where(col(AlertRow.position).is_not(None))
    rows = session.exec(query.order_by(col(AlertRow.position), col(AlertRow.raised_at))).all()
    evidence = evidence_of(session, alerts=[row.id for row in rows])
    return [Alert(row.code, row.urgency, row.reason, evidence.get(row.id, ())) for row in rows]


def evidence_of(
    session: Session, *, findings: Sequence[uuid.UUID] = (), alerts: Sequence[uuid.UUID] = ()
) -> dict[uuid.UUID, tuple[Evidence, ...]]:
    """Evidence in order, by the id of its finding or alert."""
    rows = session.exec(
        select(EvidenceRow)
        .where(col(EvidenceRow.finding_id).in_(findings) | col(EvidenceRow.alert_id).in_(alerts))
        .order_by(col(EvidenceRow.position))
    )
    found: dict[uuid.UUID, tuple[Evidence, ...]] = {}
    for row in rows:
        owner = row.finding_id or row.alert_id
        if owner is not None:
            found[owner] = (*found.get(owner, ()), Evidence(row.turn_index, row.quote, row.start_s))
    return found
