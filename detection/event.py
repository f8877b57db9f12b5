"""The event: one record that a client submitted, after parsing."""

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True):
    """One step of an agent: who asked which tool for what, and what came back."""

    timestamp: str
    user: str
    agent: str
    tool: str
    prompt: str
    response: str
    session_id: str | None = None
    trace_id: str | None = None
    metadata: dict[str, Any] | None = None
    client_id: str | None = None
