"""The pages about what was seen: the dashboard, events, alerts and rules."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from dashboard import api, chart, cursors, text
from dashboard.errors import ReadRoute
from dashboard.filters import Filter, Filters, read_filters, refuse_unknown
from dashboard.ranges import PRESETS, TimeRange, read_range
from dashboard.state import DashboardState
from detection import Rule
from pipeline.errors import JournalUnavailable
from pipeline.http import Problem
from pipeline.ids import EventId, parse_uuid
from pipeline.journal import Journal
from pipeline.storage import alert_reading, reading, stats
from pipeline.storage.reading import StoredVerdict
from pipeline.storage.selecting import Place, Term

_ROWS = 50
_LATEST = 12
_TOP = 8
_EVENT_INPUTS = ("q", "outcome", "min_severity", "tool", "user", "agent", "rule", "from", "to")
_ALERT_KEYS = ("min_severity", "user", "agent", "tool", "rule", "from", "to")
# How many rows a page has is not for the URL to say.
_EVENT_PARAMETERS, _ALERT_PARAMETERS = (
    tuple(name for name in known if name != "limit") for known in (api.VERDICT_PARAMETERS, api.ALERT_PARAMETERS)
)
_LONG_FIELDS = ("prompt", "response")


def make_router(state: DashboardState) -> APIRouter:
    """Make the routes of the pages."""
    router = APIRouter(route_class=ReadRoute, include_in_schema=False)
    pages = Pages(state)
    routes: Mapping[str, Callable[..., Response]] = {
        "/": pages.home,
        "/events": pages.events,
        "/events/{event_id}": pages.event,
        "/alerts": pages.alerts,
        "/alerts/{alert_id}": pages.alert,
        "/rules": pages.rules,
        "/rules/{rule_id}": pages.rule,
    }
    for path, endpoint in routes.items():
        router.add_api_route(path, endpoint, methods=["GET", "HEAD"])
    return router


class Pages:
    """The pages of one dashboard."""

    def __init__(self, state: DashboardState) -> None:
        self._state = state

    def home(self, request: Request) -> Response:
        """Show how much was accepted, judged and flagged, of what kind, and the latest flagged events."""
        span = read_range(request.query_params, datetime.now(UTC))
        in_flight = self._in_flight()
        with reading.snapshot(self._state.engine) as connection:
            buckets = stats.series(connection, span.start, span.end, span.width)
            tops = {name: stats.top(connection, name, span.start, span.end, limit=_TOP) for name in stats.DIMENSIONS}
            settled = stats.settled(connection, span.start, span.end)
            terms = [Term("outcome", ("flagged",)), Term("from", (span.start,)), Term("to", (span.end,))]
            latest = reading.page(connection, terms, limit=_LATEST, whole=False).items
        flagged_only = request.query_params.get("show") != "all"
        by_severity = api.total_by_severity(buckets)
        waiting = in_flight if span.end >= datetime.now(UTC) else 0
        return self._state.page(
            "home.html",
            section="home",
            curl=self._state.curl(request),
            span=span,
            presets=PRESETS,
            accepted=None if waiting is None else settled + waiting,
            waiting=waiting,
            by_severity=by_severity,
            judged=sum(by_severity.values()),
            tops=tops,
            latest=latest,
            filters=Filters(()),
            flagged_only=flagged_only,
            chart=chart.draw(buckets, span.width, flagged_only=flagged_only),
            links=_range_links(span, flagged_only=flagged_only),
        )

    def events(self, request: Request) -> Response:
        """List events, filtered as the URL says."""
        given = request.query_params
        refuse_unknown(given.multi_items(), _EVENT_PARAMETERS)
        filters = read_filters(given.multi_items())
        after = Place(*cursors.read(given["cursor"])) if given.get("cursor") else None
        with reading.snapshot(self._state.engine) as connection:
            page = reading.page(connection, filters.terms(), limit=_ROWS, after=after, whole=False)
        place = page.next_after
        return self._state.page(
            "events.html",
            section="events",
            curl=self._state.curl(request),
            filters=filters,
            inputs=_EVENT_INPUTS,
            items=page.items,
            first_page=after is None,
            next_link=place and filters.after(cursors.write(place.received_at, place.chunk, place.position)),
            rule_ids=sorted(self._rules()),
        )

    def event(self, event_id: str) -> Response:
        """Show one event: why it was flagged, what matched, and what stands around it."""
        found_id = EventId.parse(event_id)
        with reading.snapshot(self._state.engine) as connection:
            found = reading.verdict(connection, found_id)
            if found is None:
                detail = "It was never accepted, is not judged yet, or is not kept any more. Its receipt says which."
                raise Problem(404, f"No verdict on event {event_id}", detail)
            earlier, later = reading.neighbours(connection, found)
            namesakes = reading.namesakes(connection, found)
            alert_id = alert_reading.alert_of(connection, found_id)
        return self._state.page(
            "event.html",
            section="events",
            verdict=found,
            short=_shown(found, long=False),
            long=_shown(found, long=True),
            whole_field={
                name: [f for f in found.findings if f.field == name and f.start is None] for name in _LONG_FIELDS
            },
            known_rules=self._rules(),
            filters=Filters(()),
            earlier=earlier,
            later=later,
            namesakes=namesakes,
            alert_id=alert_id,
        )

    def alerts(self, request: Request) -> Response:
        """List alerts, newest first."""
        given = request.query_params
        refuse_unknown(given.multi_items(), _ALERT_PARAMETERS)
        terms = api.read_alert_terms(given)
        items = tuple(Filter(key, given[key]) for key in _ALERT_KEYS if given.get(key))
        filters = Filters(items, "/alerts")
        after = cursors.read(given["cursor"])[:2] if given.get("cursor") else None
        with reading.snapshot(self._state.engine) as connection:
            found, next_after = alert_reading.alert_page(connection, terms, limit=_ROWS, after=after)
        return self._state.page(
            "alerts.html",
            section="alerts",
            curl=self._state.curl(request),
            filters=filters,
            items=found,
            first_page=after is None,
            next_link=next_after and filters.after(cursors.write(*next_after)),
            least=self._state.settings.alert_min_severity,
        )

    def alert(self, alert_id: str) -> Response:
        """Show one alert, whom it was told to, and why or why not."""
        with reading.snapshot(self._state.engine) as connection:
            found = alert_reading.alert(connection, parse_uuid(alert_id))
            verdict = reading.verdict(connection, found.event_id) if found else None
        if found is None:
            raise Problem(404, f"There is no alert {alert_id}", "It never was, or is not kept any more.")
        least = self._state.settings.alert_min_severity
        return self._state.page(
            "alert.html",
            section="alerts",
            alert=found,
            verdict=verdict,
            least=least,
            known_rules=self._rules(),
        )

    def rules(self) -> Response:
        """List the rules in force, and how often each fired."""
        with reading.snapshot(self._state.engine) as connection:
            fired = api.fired(connection, self._state)
        rules = sorted(self._rules().values(), key=lambda rule: (rule.pack, -rule.severity, rule.id))
        return self._state.page("rules.html", section="rules", rules=rules, fired=fired)

    def rule(self, rule_id: str) -> Response:
        """Show one rule: what it looks for, its tests, and how often it fired."""
        found = self._rules().get(rule_id)
        if found is None:
            detail = f"The rules in force are rule set {self._state.rule_set.version}; older verdicts may name others."
            raise Problem(404, f"No rule in force is called {rule_id}", detail)
        with reading.snapshot(self._state.engine) as connection:
            fired = api.fired(connection, self._state)
            latest = reading.page(connection, [Term("rule", (rule_id,))], limit=_TOP, whole=False).items
        counts = {name: count.get(rule_id, 0) for name, count in fired.items()}
        return self._state.page("rule.html", section="rules", rule=found, counts=counts, latest=latest)

    def _rules(self) -> Mapping[str, Rule]:
        """Return the rules in force by their ids."""
        return {rule.id: rule for rule in self._state.rule_set.rules}

    def _in_flight(self) -> int | None:
        """Return how many events wait to be judged, or None where Redis cannot say."""
        try:
            return Journal(self._state.redis).in_flight()
        except JournalUnavailable:
            return None


def _shown(verdict: StoredVerdict, *, long: bool) -> dict[str, list[text.Piece]]:
    """Return the fields of an event with the findings of each marked in it."""
    return {
        name: text.pieces(value, [finding for finding in verdict.findings if finding.field == name])
        for name, value in verdict.fields.items()
        if (name in _LONG_FIELDS) is long
    }


def _range_links(span: TimeRange, *, flagged_only: bool) -> Mapping[str, str]:
    suffix = "" if flagged_only else "&show=all"
    return {name: f"/?range={name}{suffix}" for name in PRESETS} | {
        "flagged": f"/?{_range_query(span)}",
        "all": f"/?{_range_query(span)}&show=all",
    }


def _range_query(span: TimeRange) -> str:
    return f"range={span.name}" if span.name else span.query
