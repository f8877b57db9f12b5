"""The documented shape of an event, for OpenAPI; a test keeps it in step with what ``pipeline.records`` accepts."""

from typing import Any

from ingest_api.coding import CODINGS
from ingest_api.repeating import MOST_CHARACTERS

_EXAMPLE = {
    "timestamp": "2024-01-15T14:30:00Z",
    "user": "alice",
    "agent": "ChatBot",
    "tool": "web_search",
    "prompt": "Search for recent security vulnerabilities",
    "response": "Found 15 recent CVE entries...",
}
_SECOND = {
    "timestamp": "2024-01-15T14:31:00Z",
    "user": "bob",
    "agent": "AssistantBot",
    "tool": "os_shell",
    "prompt": "Run whoami command",
    "response": "user123",
}

EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Event",
    "required": ["timestamp", "user", "agent", "tool", "prompt", "response"],
    "properties": {
        "timestamp": {"type": "string", "format": "date-time", "description": "RFC 3339; without an offset it is UTC."},
        "user": {"type": "string", "minLength": 1},
        "agent": {"type": "string", "minLength": 1},
        "tool": {"type": "string", "minLength": 1},
        "prompt": {"type": "string"},
        "response": {"type": "string"},
        "id": {
            "type": "string",
            "pattern": "^[A-Za-z0-9._~:-]{1,128}$",
            "description": "The client's own id: sent again with the same body, the event is counted as a duplicate.",
        },
        "session_id": {"type": "string"},
        "trace_id": {"type": "string"},
        "metadata": {"type": "object"},
    },
    "additionalProperties": True,
}

_HEADERS: dict[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "schema": {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS},
        "description": "Sent again with the same body, the request gets its first receipt, and is taken once.",
    },
    "Content-Encoding": {"schema": {"type": "string", "enum": list(CODINGS)}},
}

EVENTS_OPENAPI: dict[str, Any] = {
    "parameters": [{"name": name, "in": "header", "required": False, **header} for name, header in _HEADERS.items()],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [EVENT_SCHEMA, {"type": "array", "minItems": 1, "items": EVENT_SCHEMA}]},
                "examples": {
                    "single": {"summary": "Single event", "value": _EXAMPLE},
                    "multiple": {"summary": "Multiple events", "value": [_EXAMPLE, _SECOND]},
                    "session": {
                        "summary": "With a session and metadata",
                        "value": {**_EXAMPLE, "session_id": "s-42", "metadata": {"model": "m-1"}},
                    },
                },
            },
            "application/x-ndjson": {"schema": {"type": "string", "description": "One event object a line."}},
        },
    },
}

UPLOAD_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    },
}
