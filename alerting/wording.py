"""A due alert in words that people and programs can read."""

from alerting.receivers import Notification, ToldFinding
from detection import Severity
from pipeline.storage.alerts import AlertFinding, DueAlert


def word(alert: DueAlert, link_base: str) -> Notification:
    """Return what receivers are given. Nothing in it depends on the attempt, so that a repeat is the same to the byte.

    Args:
        alert: the claimed alert.
        link_base: what links begin with, without a slash at the end.
    """
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
