"""``/livez``, ``/readyz`` and ``/metrics``: for launchers, load balancers and monitoring."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from redis import Redis
from starlette.responses import JSONResponse, Response

from dashboard.state import DashboardState
from pipeline import health, pulses
from pipeline.errors import JournalUnavailable
from pipeline.health import PipelineStatus, QueueStatus, RulesReport
from pipeline.journal import Journal
from pipeline.queue import Queue
from pipeline.storage.canaries import Flight
from pipeline.storage.incidents import IncidentKind
from pipeline.times import rfc3339

_HELP = {
    "accepted": "Events accepted.",
    "judged": "Events judged.",
    "duplicates": "Events that were duplicates.",
    "dead": "Events that are dead letters.",
    "in_flight": "Events accepted and not settled yet.",
    "written_off": "Events lost, of which somebody said why.",
    "deficit": "Events acknowledged and missing.",
    "surplus": "Events settled without having been accepted.",
    "uncertain": "Events journaled that no acceptor reported.",
}


def make_router(state: DashboardState) -> APIRouter:
    """Return the routes of health."""
    router = APIRouter(tags=["Health"])

    @router.get("/livez", summary="Is the process alive?")
    async def get_livez() -> dict[str, str]:
        """Answer; nothing is looked at, and no thread is needed, of which slow reading may take all there are."""
        return {"status": "alive"}

    @router.get("/readyz", summary="Can events be accepted?")
    def get_readyz(
        full: Annotated[str | None, Query(description="Ready only when every part works.")] = None,
        verbose: Annotated[str | None, Query(description="List the parts.")] = None,
    ) -> Response:
        """Answer 200 while events can be accepted, whatever PostgreSQL does; with ``full`` when every part works."""
        wants_all, wants_list = _is_set(full), _is_set(verbose)
        queues = _queues(state) if wants_all or wants_list else []
        parts = _parts(state, queues, deep=wants_all or wants_list)
        ready = all(parts.values()) if wants_all else parts["redis"]
        body: dict[str, object] = {"status": "ready" if ready else "unready"}
        if wants_all or wants_list:
            body["parts"] = {name: "ok" if works else "down" for name, works in parts.items()}
            body["durability"] = health.durability(state.redis)
            body["rule_set"] = state.rule_set.version
            body["rules"] = [_rules_json(report) for report in _reports(state.redis)]
            body["queues"] = [_queue_json(queue) for queue in queues]
            body["canaries"] = [_flight_json(flight) for flight in health.canary_flights(state.engine).values()]
        headers = {} if ready else {"Retry-After": "1"}
        return JSONResponse(body, 200 if ready else 503, headers)

    @router.get("/metrics", summary="Prometheus metrics")
    def get_metrics() -> Response:
        """Return the pipe's counts and ages for Prometheus."""
        return Response(generate_latest(_measured(state)), 200, {}, CONTENT_TYPE_LATEST)

    return router


def _is_set(flag: str | None) -> bool:
    """Read a flag of a URL: ``?verbose`` says yes, and so does any value but 0, false, no and off."""
    return flag is not None and flag.lower() not in {"0", "false", "no", "off"}


def _parts(state: DashboardState, queues: Sequence[QueueStatus], *, deep: bool) -> dict[str, bool]:
    parts = {"redis": health.journal_accepts(state.redis)}
    if deep:
        parts["postgresql"] = health.storage_works(state.engine)
        ages = _ages(state.redis)
        works = {queue.name: queue.worker_alive and not queue.is_stuck for queue in queues}
        parts |= {f"worker {queue}": works.get(queue, False) for queue in Queue}
        parts[pulses.BEAT] = pulses.is_alive(ages.get(pulses.BEAT))
    return parts


def _queues(state: DashboardState) -> Sequence[QueueStatus]:
    try:
        return health.queue_statuses(state.redis, Journal(state.redis))
    except JournalUnavailable:
        return []


def _queue_json(queue: QueueStatus) -> dict[str, object]:
    """Return how a queue stands, for whoever restarts what is stuck."""
    return {
        "queue": queue.name,
        "waiting": queue.waiting,
        "oldest_seconds": queue.oldest_seconds,
        "idle_seconds": None if queue.idle_seconds is None else round(queue.idle_seconds, 3),
        "stuck": queue.is_stuck,
    }


def _flight_json(flight: Flight) -> dict[str, object]:
    return {
        "queue": flight.lane,
        "sent_at": rfc3339(flight.sent_at),
        "outcome": flight.outcome,
        "judged_seconds": flight.judged_seconds,
        "alerted_seconds": flight.alerted_seconds,
    }


def _ages(redis: Redis) -> dict[str, float]:
    try:
        return pulses.ages(redis)
    except JournalUnavailable:
        return {}


def _reports(redis: Redis) -> list[RulesReport]:
    try:
        return health.rules_reports(redis)
    except JournalUnavailable:
        return []


def _rules_json(report: RulesReport) -> dict[str, object]:
    """Return what one process uses. Anybody may read this, so what a rule says stays out of it."""
    places = [f"{Path(each.at.file).name}:{each.at.line}:{each.at.column} {each.code}" for each in report.faults]
    return {
        "process": report.process,
        "rule_set": report.rule_set,
        "since": report.since.isoformat(timespec="seconds"),
        "broken": places,
    }


def _measured(state: DashboardState) -> CollectorRegistry:
    status = health.pipeline_status(state.redis, state.engine)
    registry = CollectorRegistry()
    for name, sentence in _HELP.items():
        if status.ledger is not None:
            Gauge(f"sentinel_events_{name}", sentence, registry=registry).set(status.ledger[name])
    depth = Gauge("sentinel_queue_depth", "Messages waiting.", ["queue"], registry=registry)
    oldest = Gauge("sentinel_queue_oldest_seconds", "Age of the oldest unjudged event.", ["queue"], registry=registry)
    alive = Gauge("sentinel_worker_up", "Whether the queue's worker works.", ["queue"], registry=registry)
    for queue in status.queues:
        depth.labels(queue.name).set(queue.waiting)
        oldest.labels(queue.name).set(queue.oldest_seconds)
        alive.labels(queue.name).set(queue.worker_alive)
    stuck = Gauge("sentinel_worker_stuck", "Whether work waits and nobody takes it up.", ["queue"], registry=registry)
    for queue in status.queues:
        stuck.labels(queue.name).set(queue.is_stuck)
    _measure_watch(status, registry)
    Gauge("sentinel_postgresql_up", "Whether PostgreSQL answers.", registry=registry).set(status.storage_ok)
    share = Gauge("sentinel_redis_memory_ratio", "Used share of Redis' memory bound.", registry=registry)
    share.set(status.redis_memory_share)
    broken = Gauge("sentinel_rules_broken", "Processes whose rule files do not load.", registry=registry)
    broken.set(sum(bool(report.faults) for report in status.rules))
    Gauge("sentinel_messages_set_aside", "Undecodable messages set aside.", registry=registry).set(status.set_aside)
    return registry


def _measure_watch(status: PipelineStatus, registry: CollectorRegistry) -> None:
    lasting = Gauge("sentinel_incidents", "Incidents that last.", ["kind"], registry=registry)
    for kind in IncidentKind:
        lasting.labels(kind).set(sum(each.kind is kind and each.ended_at is None for each in status.incidents))
    seen = Gauge("sentinel_canary_seen", "Whether the last canary was seen and told.", ["queue"], registry=registry)
    judged = Gauge("sentinel_canary_judged_seconds", "From sent to judged.", ["queue"], registry=registry)
    told = Gauge("sentinel_canary_alerted_seconds", "From sent to the alert worker.", ["queue"], registry=registry)
    for flight in status.canaries.values():
        seen.labels(flight.lane).set(flight.is_seen)
        if flight.judged_seconds is not None:
            judged.labels(flight.lane).set(flight.judged_seconds)
        if flight.alerted_seconds is not None:
            told.labels(flight.lane).set(flight.alerted_seconds)
