"""A due alert in words that people and programs can read."""

from alerting.receivers import Announcement, IncidentNotification, Notification, ToldFinding
from detection import Severity
from pipeline.storage.alerts import AlertFinding, Due, DueAlert, DueNotice


def word(due: Due, link_base: str) -> Announcement:
    """Return what receivers are given. Nothing in it depends on the attempt, so that a repeat is the same to the byte.

    Args:
        due: the claimed alert, or announcement of an incident.
        link_base: what links begin with, without a slash at the end.
    """
    return _incident(due, link_base) if isinstance(due, DueNotice) else _alert(due, link_base)


def _alert(alert: DueAlert, link_base: str) -> Notification:
    return Notification(
        alert_id=str(alert.alert_id),
        event_id=str(alert.event_id),
        created_at=alert.created_at,
        severity=Severity(alert.severity).label,
        title=alert.title,
        rule_ids=alert.rule_ids,
        user=alert.user,
        agent=alert.agent,
        tool=alert.tool,
        url=f"{link_base}/events/{alert.event_id}",
        source=link_base,
        findings=tuple(_finding(finding) for finding in alert.findings),
        findings_total=alert.findings_total,
    )


def _incident(due: DueNotice, link_base: str) -> IncidentNotification:
    notice, incident = due.notice, due.notice.incident
    return IncidentNotification(
        alert_id=str(due.alert_id),
        incident_id=str(incident.incident_id),
        created_at=notice.told_at,
        state="over" if notice.is_over else "begun",
        kind=incident.kind.value,
        subject=incident.subject,
        severity=incident.severity.label,
        title=f"Over: {incident.title}" if notice.is_over else incident.title,
        detail=incident.detail,
        cure=incident.kind.cure,
        opened_at=incident.opened_at,
        ended_at=incident.ended_at if notice.is_over else None,
        url=f"{link_base}/pipeline#incidents",
        source=link_base,
    )


def _finding(finding: AlertFinding) -> ToldFinding:
    return ToldFinding(
        rule_id=finding.rule_id,
        title=finding.title,
        severity=Severity(finding.severity).label,
        confidence=finding.confidence,
        field=finding.field,
        start=finding.start,
        end=finding.end,
        excerpt=finding.excerpt,
        reason=finding.reason,
    )
