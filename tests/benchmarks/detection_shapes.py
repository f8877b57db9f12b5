"""Where an attack stands: alone, or inside something ordinary, as agents pass values on."""

import json
from collections.abc import Callable, Mapping
from urllib.parse import quote

_PARAGRAPH = (
    "The team met on Tuesday to go through the figures of the last quarter. Orders from the north grew by a tenth, "
    "while the south stayed where it was; two customers asked for a later delivery, and one returned a pallet. "
    "Nobody expects the prices of paper to fall before spring, so the plan for the next months stays as it is. "
)
"""Ordinary text of our own, on which no rule fires."""


def _json(text: str) -> str:
    return json.dumps({"action": "lookup", "query": text, "limit": 20, "verbose": False})


def _sentence(text: str) -> str:
    return f"Could you check what comes back for {text} and write me a short summary of it, please?"


def _long(text: str) -> str:
    return f"{_PARAGRAPH * 3}\n{text}\n{_PARAGRAPH * 4}"


def _url(text: str) -> str:
    return f"https://app.example/search?page=2&q={quote(text, safe='', errors='surrogatepass')}&sort=name"


SHAPES: Mapping[str, Callable[[str], str]] = {
    "bare": str,
    "json": _json,
    "sentence": _sentence,
    "long": _long,
    "url": _url,
}
"""Every place that an attack is tried in, by its name."""

EMBEDDED = ("json", "sentence", "long")
"""The places that count as embedded; the percent-encoded URL is told apart."""
