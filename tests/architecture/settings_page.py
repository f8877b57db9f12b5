"""Writes ``docs/settings.md`` from the settings classes.

Run ``python -m tests.architecture.settings_page > docs/settings.md`` after a setting has changed.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from alerting.settings import AlertSettings
from deploy.settings import LauncherSettings
from ingest_api.settings import IngestSettings
from pipeline.settings import PREFIX, PipeSettings, Section, is_secret

SECTIONS: Mapping[type[Section], str] = {
    LauncherSettings: "The launcher, `sentinel up`",
    PipeSettings: "Every process",
    IngestSettings: "The ingestion API",
    AlertSettings: "The alert worker",
}
_HEAD = """\
# Settings

<!-- Written by `python -m tests.architecture.settings_page`; a test compares this page with the settings classes. -->

A setting is taken from the environment, else from `.env` in the working folder, else it has its default. An empty
variable counts as unset. A setting marked *secret* is also read from the file that the same name with `_FILE` behind it
names, and is never written to a log.

A setting that several processes read is listed once, where it is met first.
"""
_TAIL = """\

## The command line

| variable | meaning |
|---|---|
| `SENTINEL_API_KEY` | The key that `sentinel send` and `sentinel upload` present, where one is needed. |

`deploy/.env.example` lists what `deploy/compose.yaml` needs besides: the passwords of its own servers.
"""
_BOUNDS = {Ge: "at least {}", Gt: "more than {}", Le: "at most {}", Lt: "less than {}"}
_COMPUTED = {"home": "`mcp-sentinel` in `$XDG_DATA_HOME`, else in `~/.local/share`"}
_OWN_SERVERS = {"redis_url": "its own Valkey", "database_url": "its own PostgreSQL"}


def fields() -> Iterator[tuple[type[Section], str, FieldInfo]]:
    """Yield every field of every settings class."""
    for section in SECTIONS:
        for name, field in section.model_fields.items():
            yield section, name, field


def page() -> str:
    """Return the page."""
    parts, listed = [_HEAD], set()
    for section, title in SECTIONS.items():
        rows = [(name, field) for owner, name, field in fields() if owner is section and name not in listed]
        listed |= {name for name, _ in rows}
        parts.append(
            f"\n## {title}\n\n{(section.__doc__ or '').strip()}\n\n| setting | default | meaning |\n|---|---|---|\n"
        )
        parts += [
            f"| `{PREFIX}{name.upper()}` | {_default(name, field)} | {_meaning(field)} |\n" for name, field in rows
        ]
    return "".join([*parts, _TAIL])


def _default(name: str, field: FieldInfo) -> str:
    if name in _COMPUTED:
        return _COMPUTED[name]
    if name in _OWN_SERVERS:
        return f"{_OWN_SERVERS[name]} under `sentinel up`, else `{_plain(field.default)}`"
    return "none" if field.default in (None, PydanticUndefined) else f"`{_plain(field.default)}`"


def _plain(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _meaning(field: FieldInfo) -> str:
    notes = [_BOUNDS[type(bound)].format(_number(bound)) for bound in field.metadata if type(bound) in _BOUNDS]
    said = (field.description or "").strip()
    if notes:
        said = f"{said.removesuffix('.')} ({', '.join(notes)})."
    return f"{said} *Secret.*" if is_secret(field) else said


def _number(bound: Any) -> str:
    (value,) = (getattr(bound, name) for name in ("ge", "gt", "le", "lt") if hasattr(bound, name))
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    sys.stdout.write(page())
