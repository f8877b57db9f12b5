"""The obvious design, to measure against: pydantic, one Celery task an event, one committed insert an event."""

import os
from pathlib import Path

from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import create_engine, text

from detection import Event, Scanner, load_rule_set


class EventIn(BaseModel):
    """An event as FastAPI's own tutorial would take it."""

    timestamp: str
    user: str
    agent: str
    tool: str
    prompt: str
    response: str


app = FastAPI()
celery = Celery("obvious", broker=os.environ.get("BENCH_REDIS_URL", "redis://"))
celery.conf.update(task_ignore_result=True, worker_prefetch_multiplier=4, task_acks_late=True)
_made: dict[str, object] = {}


@app.post("/bare", status_code=202)
def bare() -> dict[str, str]:
    """Do nothing: the limit of any endpoint under this server."""
    return {"status": "ok"}


@app.post("/async-bare", status_code=202)
async def async_bare() -> dict[str, str]:
    """Do nothing without a thread: the limit of an asynchronous endpoint."""
    return {"status": "ok"}


@app.post("/obvious", status_code=202)
def post(event: EventIn) -> dict[str, str]:
    """Enqueue one task."""
    judge.delay(event.model_dump())
    return {"status": "accepted"}


@celery.task(name="obvious.judge")  # type: ignore[untyped-decorator]
def judge(event: dict[str, str]) -> None:
    """Scan and insert one event."""
    if not _made:
        _made["scanner"] = Scanner(load_rule_set(cache=Path(os.environ["BENCH_RULE_CACHE"])))
        _made["engine"] = create_engine(os.environ["BENCH_DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:"))
    verdict = _made["scanner"].scan(Event(**event))  # type: ignore[attr-defined, arg-type]
    with _made["engine"].begin() as connection:  # type: ignore[attr-defined]
        row = {**event, "severity": None if verdict.severity is None else int(verdict.severity)}
        connection.execute(
            text(
                'INSERT INTO obvious (timestamp, "user", agent, tool, prompt, response, severity) '
                "VALUES (:timestamp, :user, :agent, :tool, :prompt, :response, :severity)"
            ),
            row,
        )
