"""The JSON read endpoints."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from dashboard import cursors
from dashboard.errors import ReadRoute
from dashboard.filters import LABELS, read_end, read_filters, read_severity, read_time, refuse_unknown
from dashboard.ranges import PRESETS, read_range
from dashboard.state import DashboardState
from detection import Rule, Severity
from pipeline.http import Problem
from pipeline.ids import EventId, parse_uuid
from pipeline.storage import alert_reading, reading, stats
from pipeline.storage.alert_reading import AlertTerms, StoredAlert
from pipeline.storage.reading import Snapshot, StoredVerdict
from pipeline.storage.selecting import KEYS, Place

MOST = 1_000
_USUAL = 100
VERDICT_PARAMETERS = (*KEYS, *(f"{key}!" for key in KEYS), "limit", "cursor")
ALERT_PARAMETERS = ("min_severity", "user", "agent", "tool", "rule", "from", "to", "limit", "cursor")
_STATS_PARAMETERS = ("range", "from", "to", "limit")
_MEANINGS = {
    **LABELS,
    "limit": "most items, up to 1,000",
    "cursor": "next_cursor of the page before",
    "range": f"one of {', '.join(PRESETS)}; instead of from and to",
}


def _documented(names: Sequence[str]) -> dict[str, Any]:
    """Describe query parameters for OpenAPI; they are read from the URL, where names may end in an exclamation mark."""
    meanings = {name: ("not: " if name.endswith("!") else "") + _MEANINGS[name.removesuffix("!")] for name in names}
    shown = [{"name": n, "in": "query", "description": d, "schema": {"type": "string"}} for n, d in meanings.items()]
    return {"parameters": shown}


_VERDICT_DOCS, _ALERT_DOCS, _STATS_DOCS = map(_documented, (VERDICT_PARAMETERS, ALERT_PARAMETERS, _STATS_PARAMETERS))


def make_router(state: DashboardState) -> APIRouter:
    """Make the routes of the read endpoints."""
    router = APIRouter(prefix="/api", route_class=ReadRoute, tags=["Reading"], default_response_class=Response)
    endpoints = Endpoints(state)
    router.add_api_route("/verdicts", endpoints.verdicts, summary="Verdicts, newest first", openapi_extra=_VERDICT_DOCS)
    router.add_api_route("/verdicts/{event_id}", endpoints.verdict, summary="One verdict in full")
    router.add_api_route("/alerts", endpoints.alerts, summary="Alerts, newest first", openapi_extra=_ALERT_DOCS)
    router.add_api_route("/alerts/{alert_id}", endpoints.alert, summary="One alert with its notification log")
    router.add_api_route("/rules", endpoints.rules, summary="The rules in force")
    router.add_api_route("/rules/{rule_id}", endpoints.rule, summary="One rule, and how often it fired")
    router.add_api_route("/stats", endpoints.stats, summary="Counts over time and by value", openapi_extra=_STATS_DOCS)
    return router


class Endpoints:
    """The read endpoints of one dashboard."""

    def __init__(self, state: DashboardState) -> None:
        self._state = state

    def verdicts(self, request: Request) -> Response:
        """List verdicts, newest received first."""
        given = request.query_params
        refuse_unknown(given.multi_items(), VERDICT_PARAMETERS)
        terms, limit = read_filters(given.multi_items()).terms(), read_limit(given)
        after = Place(*cursors.read(given["cursor"])) if given.get("cursor") else None
        with reading.snapshot(self._state.engine) as connection:
            page = reading.page(connection, terms, limit=limit, after=after)
        place = page.next_after
        cursor = place and cursors.write(place.received_at, place.chunk, place.position)
        return listing(request, [verdict_json(item) for item in page.items], cursor or None)

    def verdict(self, event_id: str) -> Response:
        """Show one verdict with its event and findings."""
        with reading.snapshot(self._state.engine) as connection:
            found = reading.verdict(connection, EventId.parse(event_id))
            others = reading.namesakes(connection, found) if found else ()
        if found is None:
            raise Problem(404, "Not found", f"No verdict is recorded for event {event_id}.")
        noted = {"same_id": [str(other) for other in others]} if others else {}
        return answer(verdict_json(found) | noted)

    def alerts(self, request: Request) -> Response:
        """List alerts, newest first."""
        given = request.query_params
        refuse_unknown(given.multi_items(), ALERT_PARAMETERS)
        terms, limit = read_alert_terms(given), read_limit(given)
        after = cursors.read(given["cursor"])[:2] if given.get("cursor") else None
        with reading.snapshot(self._state.engine) as connection:
            items, next_after = alert_reading.alert_page(connection, terms, limit=limit, after=after)
        return listing(request, [alert_json(item) for item in items], next_after and cursors.write(*next_after))

    def alert(self, alert_id: str) -> Response:
        """Show one alert with its notification log."""
        with reading.snapshot(self._state.engine) as connection:
            found = alert_reading.alert(connection, parse_uuid(alert_id))
        if found is None:
            raise Problem(404, "Not found", f"There is no alert {alert_id}.")
        return answer(alert_json(found))

    def rules(self) -> Response:
        """List the rules in force."""
        rule_set = self._state.rule_set
        return answer({"rule_set": rule_set.version, "items": [rule_json(rule) for rule in rule_set.rules]})

    def rule(self, rule_id: str) -> Response:
        """Show one rule, and how often it fired."""
        found = next((rule for rule in self._state.rule_set.rules if rule.id == rule_id), None)
        if found is None:
            raise Problem(404, "Not found", f"No rule in force is called {rule_id}.")
        with reading.snapshot(self._state.engine) as connection:
            counts = fired(connection, self._state)
        return answer({**rule_json(found), "fired": {name: count.get(rule_id, 0) for name, count in counts.items()}})

    def stats(self, request: Request) -> Response:
        """Count events by time, severity, rule, tool, user and agent."""
        given = request.query_params
        refuse_unknown(given.multi_items(), _STATS_PARAMETERS)
        span, limit = read_range(given, datetime.now(UTC)), read_limit(given, usual=20)
        with reading.snapshot(self._state.engine) as connection:
            buckets = stats.series(connection, span.start, span.end, span.width)
            tops = {name: stats.top(connection, name, span.start, span.end, limit=limit) for name in stats.DIMENSIONS}
        by_severity = total_by_severity(buckets)
        return answer(
            {
                "from": span.start,
                "to": span.end,
                "bucket_seconds": span.width.total_seconds(),
                "judged": sum(by_severity.values()),
                "flagged": sum(by_severity.values()) - by_severity[stats.CLEAN],
                "severity": by_severity,
                "buckets": [
                    {"start": b.start, "judged": b.judged, "flagged": b.flagged, "severity": b.events} for b in buckets
                ],
                **tops,
            }
        )


def answer(body: object) -> Response:
    """Answer with JSON."""
    return Response(msgspec.json.encode(body), media_type="application/json", headers={"Cache-Control": "no-store"})


def listing(request: Request, items: Sequence[object], cursor: str | None) -> Response:
    """Answer with one page of a list and, where there is more, how to go on."""
    answered = answer({"items": items, "next_cursor": cursor})
    if cursor is not None:
        url = request.url.include_query_params(cursor=cursor)
        answered.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return answered


def read_limit(given: Mapping[str, str], *, usual: int = _USUAL) -> int:
    """Read how many items a page may have.

    Raises:
        Problem: it is no number from 1 to 1,000.
    """
    text = given.get("limit") or str(usual)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST)) and 1 <= int(text) <= MOST):
        raise Problem(422, "Unreadable limit", f"limit is a number from 1 to {MOST}.")
    return int(text)


def read_alert_terms(given: Mapping[str, str]) -> AlertTerms:
    """Read what the alerts of a list must be.

    Raises:
        Problem: a value cannot be read.
    """
    try:
        return AlertTerms(
            min_severity=read_severity(given["min_severity"]) if given.get("min_severity") else None,
            since=read_time(given["from"]) if given.get("from") else None,
            until=read_end(given["to"]) if given.get("to") else None,
            **{name: given[name] for name in ("user", "agent", "tool", "rule") if given.get(name)},
        )
    except ValueError as error:
        raise Problem(422, "Unreadable filter", str(error)) from error


def fired(connection: Snapshot, state: DashboardState) -> dict[str, Mapping[str, int]]:
    """Count how often each rule fired: in a day, and in all that is kept."""
    now = datetime.now(UTC)
    return {
        "last_24_hours": stats.fired(connection, since=now - timedelta(days=1)),
        "kept": stats.fired(connection, since=now - timedelta(days=state.settings.retention_days)),
    }


def total_by_severity(buckets: Sequence[stats.Bucket]) -> dict[str, int]:
    """Add the buckets up; every severity is there."""
    names = (stats.CLEAN, *(severity.label for severity in Severity))
    return {name: sum(bucket.events.get(name, 0) for bucket in buckets) for name in names}


def verdict_json(verdict: StoredVerdict) -> dict[str, object]:
    """Return a verdict as the interface writes it."""
    event: dict[str, object] = {"id" if name == "client_id" else name: value for name, value in verdict.fields.items()}
    if verdict.metadata is not None:
        # It was JSON when it came, and is passed on as it is: its numbers may be larger than ours.
        event["metadata"] = msgspec.Raw(verdict.metadata.encode())
    return {
        "event_id": str(verdict.event_id),
        "event": event,
        "received_at": verdict.received_at,
        "judged_at": verdict.judged_at,
        "queue": verdict.queue,
        "upload_id": verdict.upload_id,
        "outcome": verdict.outcome,
        "severity": verdict.severity.label if verdict.severity is not None else None,
        "rule_set": verdict.rule_set,
        "findings": [finding.as_dict() for finding in verdict.findings],
    }


def alert_json(alert: StoredAlert) -> dict[str, object]:
    """Return an alert as the interface writes it."""
    return {
        "alert_id": str(alert.alert_id),
        "event_id": str(alert.event_id),
        "created_at": alert.created_at,
        "queue": alert.queue,
        "severity": alert.severity.label,
        "title": alert.title,
        "rule_ids": alert.rule_ids,
        "user": alert.user,
        "agent": alert.agent,
        "tool": alert.tool,
        "state": alert.state,
        "due_at": alert.due_at,
        "notifications": alert.notifications,
    }


def rule_json(rule: Rule) -> dict[str, object]:
    """Return a rule as the interface writes it."""
    return {
        "id": rule.id,
        "title": rule.title,
        "description": rule.description,
        "severity": rule.severity.label,
        "confidence": rule.confidence,
        "action": rule.action,
        "status": rule.status,
        "pack": rule.pack,
        "tags": rule.tags,
        "references": rule.references,
        "false_positives": rule.false_positives,
        "fields": rule.fields,
        "patterns": rule.patterns,
        "condition": rule.condition_text,
        "tests": [{"match": test.attack, "fields": test.fields} for test in rule.tests],
    }
