"""Settings: one class per component, every field with a sentence, all under ``SENTINEL_``.

A value comes from the environment, then from ``.env`` in the working folder, then from the default. A field of type
``SecretStr`` is also read from the file that ``SENTINEL_<NAME>_FILE`` names.
"""

import ipaddress
import os
import socket
from pathlib import Path
from typing import Any, get_args

from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pipeline.records import RecordLimits

PREFIX = "SENTINEL_"
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - replaced, not bound


class SecretFiles(PydanticBaseSettingsSource):
    """Reads ``SENTINEL_X`` from the file named by ``SENTINEL_X_FILE``, for fields that are secrets."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the file's text without its trailing newline, or None where no file is named."""
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        if path is None or not is_secret(field):
            return None, field_name, False
        return Path(path).read_text(encoding="utf-8").rstrip("\n"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return every field that has such a file."""
        found = ((name, self.get_field_value(field, name)[0]) for name, field in self.settings_cls.model_fields.items())
        return {name: value for name, value in found if value is not None}


def is_secret(field: FieldInfo) -> bool:
    """Say whether a field holds a secret, and may therefore be read from a file."""
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


class Section(BaseSettings):
    """The settings of one component."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the framework's own signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put secret files between the environment and ``.env``."""
        return init_settings, env_settings, SecretFiles(settings_cls), dotenv_settings


def default_home() -> Path:
    """Return the data folder used when ``SENTINEL_HOME`` is not set."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "mcp-sentinel"


class AddressSettings(Section):
    """Where the API and the pages listen, and how people reach them."""

    host: str = Field("127.0.0.1", description="Address to listen on. Another than loopback needs an API key first.")
    port: int = Field(8000, ge=1, le=65535, description="Port of the API and the pages.")
    public_url: str | None = Field(
        None, pattern="^https?://", description="How people reach the dashboard; links in alerts begin with it."
    )
    trust_network: bool = Field(
        default=False,
        description="Allow an address that others can reach although no API key exists: the network itself keeps "
        "strangers out.",
    )

    @property
    def own_host(self) -> str:
        """The address under which this machine reaches the API itself."""
        return _ANY_HOST.get(self.host, self.host)

    @property
    def url(self) -> str:
        """The address of the dashboard, as this machine reaches it, without a slash at the end."""
        host = f"[{self.own_host}]" if ":" in self.own_host else self.own_host
        return f"http://{host}:{self.port}"

    @property
    def link_base(self) -> str:
        """What links for people begin with, without a slash at the end."""
        return (self.public_url or self.url).rstrip("/")

    @property
    def is_loopback(self) -> bool:
        """Whether the API can be reached from this machine only."""
        try:
            found = socket.getaddrinfo(self.host or "0.0.0.0", self.port, type=socket.SOCK_STREAM)  # noqa: S104
        except OSError:
            return False
        return all(ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback for *_, address in found)

    @property
    def may_be_open(self) -> bool:
        """Whether requests may be answered while there is no API key: strangers cannot reach us, or are kept out."""
        return self.is_loopback or self.trust_network


class PipeSettings(Section):
    """What every process of the pipe needs to know."""

    home: Path = Field(default_factory=default_home, description="Data folder: databases, spool, logs, credentials.")
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis or Valkey that holds the journal and the queues. When set, none is started.",
    )
    database_url: SecretStr = Field(
        SecretStr("postgresql://127.0.0.1:5432/sentinel"),
        description="PostgreSQL that holds the verdicts. When set, none is started.",
    )
    max_attempts: int = Field(
        3, ge=3, description="Failed attempts on a chunk before it is split, or its one event a dead letter."
    )
    bulk_bytes: int = Field(
        8_000_000,
        ge=1_000_000,
        description="About how many bytes of uploaded events may wait in Redis; the uploads in work share them.",
    )
    memory_share: float = Field(
        0.7, gt=0, lt=1, description="Share of Redis' maxmemory from which on new events are answered with 503."
    )
    alert_min_severity: str = Field(
        "low",
        pattern="^(informational|low|medium|high|critical)$",
        description="Severity from which on an alert is sent. Alerts below it are recorded and shown, not sent.",
    )
    max_record_bytes: int = Field(1_000_000, ge=1000, description="Largest single event, in bytes of JSON.")
    max_depth: int = Field(32, ge=2, le=200, description="Deepest nesting of arrays and objects in one event.")
    max_name_characters: int = Field(
        512, ge=16, le=2000, description="Longest user, agent, tool, session_id and trace_id, in characters."
    )
    packs: Path | None = Field(None, description="Folder of rule packs used instead of the shipped ones.")
    site_packs: Path | None = Field(
        None,
        description="Folder of rule packs added to the others; a rule in it replaces the one of its id. Where it is "
        "unset, `packs` in the data folder is used if it is there.",
    )
    overrides: Path | None = Field(
        None,
        description="File that turns rules off, grades them otherwise, or makes exceptions. Where it is unset, "
        "`overrides.yaml` in the data folder is used if it is there.",
    )
    rule_cache: Path | None = Field(
        None,
        description="Folder in which compiled rules are kept; only its owner may write there. Where it is unset, "
        "`cache/rules` in the data folder.",
    )
    canary_seconds: int = Field(
        60,
        ge=0,
        le=600,
        description="Seconds between two synthetic attacks on each lane, which show that attacks are seen. 0: none.",
    )
    retention_days: int = Field(90, ge=1, description="Days that events, findings and alerts are kept.")
    log_json: bool = Field(default=False, description="Write logs as JSON, one object a line.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Lowest log level written.")

    @property
    def record_limits(self) -> RecordLimits:
        """What one record may be."""
        return RecordLimits(self.max_record_bytes, self.max_depth, self.max_name_characters)

    @property
    def spool(self) -> Path:
        """The folder in which uploaded files wait to be split."""
        return self.home / "spool"
