"""Settings are looked at before anything is started: every fault at once, each with its setting and what to do.

Addresses may hold passwords, so a fault never quotes more of one than its scheme.
"""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from alerting.settings import AlertSettings
from deploy.errors import DeployError, faults_of_form
from deploy.settings import LauncherSettings
from ingest_api.settings import IngestSettings
from pipeline.rule_files import RuleFiles
from pipeline.settings import PREFIX, PipeSettings, Section, is_secret

_SECTIONS: tuple[type[Section], ...] = (PipeSettings, LauncherSettings, IngestSettings, AlertSettings)
_ENV_FILE = Path(".env")
_REDIS = ("redis", "rediss")
_POSTGRES = ("postgresql", "postgres")
_WEB = ("http", "https")


class WrongSettings(DeployError):
    """A setting cannot be used."""

    exit_code = 78


def read() -> tuple[LauncherSettings, PipeSettings]:
    """Return the settings of the stack, all of them fit to start it with.

    Raises:
        WrongSettings: everything that is wrong with their form; where that is right, with what they say.
    """
    _insist(_files())
    _insist(_form())
    launcher, pipe, alerts = LauncherSettings(), PipeSettings(), AlertSettings()
    _insist([*_servers(pipe), *_addresses(launcher), *_webhook(alerts), *_packs(pipe)])
    return launcher, pipe


def pipe_settings() -> PipeSettings:
    """Return what a command needs that uses the data folder or the servers.

    Raises:
        WrongSettings: everything that is wrong with what they say.
        pydantic.ValidationError: everything that is wrong with their form.
    """
    _insist(_files())
    pipe = PipeSettings()
    _insist(_servers(pipe))
    return pipe


def unknown() -> Iterator[str]:
    """Tell what looks like a setting and is none, for whoever wrote it takes it to be in force."""
    secrets = [f"{name}_FILE" for name, field in _fields().items() if is_secret(field)]
    known = {f"{PREFIX}{name.upper()}" for name in (*_fields(), *secrets, "API_KEY")}
    given = {*EnvSettingsSource(PipeSettings).env_vars, *DotEnvSettingsSource(PipeSettings).env_vars}
    for name in sorted(name.upper() for name in given):
        if name.startswith(PREFIX) and name not in known:
            meant = "".join(f" Is {similar} meant?" for similar in get_close_matches(name, known, n=1, cutoff=0.85))
            yield f"Warning: {name} is no setting, and does nothing.{meant}"


def _fields() -> Mapping[str, FieldInfo]:
    return {name: field for section in _SECTIONS for name, field in section.model_fields.items()}


def _form() -> Iterator[str]:
    faults: list[str] = []
    for section in _SECTIONS:
        try:
            section()
        except ValidationError as error:
            faults += faults_of_form(error)
    yield from dict.fromkeys(faults)  # several sections may have the same setting


def _insist(found: Iterator[str] | list[str]) -> None:
    if faults := list(found):
        raise WrongSettings("\n".join(faults))


def _files() -> Iterator[str]:
    if _ENV_FILE.is_file() and (why := _unreadable(_ENV_FILE)):
        yield f"{_ENV_FILE.absolute()}: it cannot be read ({why}). Make it a readable text in UTF-8, or remove it."
    for name in (name for name, field in _fields().items() if is_secret(field)):
        setting = f"{PREFIX}{name.upper()}_FILE"
        path = os.environ.get(setting)
        if path is not None and (why := _unreadable(Path(path))):
            yield f"{setting}: {path!r} cannot be read ({why}). Name a readable file that holds the value, or unset it."


def _unreadable(path: Path) -> str | None:
    try:
        path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        return error.strerror if isinstance(error, OSError) else "it is not text"
    return None


def _servers(pipe: PipeSettings) -> Iterator[str]:
    if "redis_url" in pipe.model_fields_set:
        wanted = "redis://HOST:PORT/NUMBER (rediss:// for TLS)"
        yield from _url("REDIS_URL", pipe.redis_url.get_secret_value(), _REDIS, wanted, _redis_fault)
    if "database_url" in pipe.model_fields_set:
        wanted = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        yield from _url("DATABASE_URL", pipe.database_url.get_secret_value(), _POSTGRES, wanted, _postgres_fault)


def _webhook(alerts: AlertSettings) -> Iterator[str]:
    url = alerts.alert_webhook_url.get_secret_value().strip() if alerts.alert_webhook_url else ""
    if url:
        yield from _url("ALERT_WEBHOOK_URL", url, _WEB, "https://HOST/PATH", _web_fault)


def _url(
    name: str, url: str, schemes: tuple[str, ...], wanted: str, fault_in: Callable[[str], str | None]
) -> Iterator[str]:
    scheme, found, _ = url.partition("://")
    fault: str | None
    if not found:
        fault = "this is no address"
    elif scheme.lower() not in schemes:
        fault = f"{scheme[:20]!r} is not the scheme of an address that can be used here"
    else:
        fault = fault_in(url)
    if fault is not None:
        yield f"{PREFIX}{name}: {fault}. Write it as {wanted}, or unset it."


def _redis_fault(url: str) -> str | None:
    path = _path(url)
    if path is None:
        return "its host or port cannot be read"
    return None if path.strip("/") == "" or path.strip("/").isdecimal() else "the database after the port is no number"


def _postgres_fault(url: str) -> str | None:
    from psycopg2 import ProgrammingError  # noqa: PLC0415 - slow to load, and only needed for a server of one's own
    from psycopg2.extensions import parse_dsn  # noqa: PLC0415 - as above

    try:
        parts = parse_dsn(url)
    except ProgrammingError:
        return "it cannot be read"
    return None if parts.get("port", "1").isdecimal() else "its host or port cannot be read"


def _web_fault(url: str) -> str | None:
    return None if _path(url) is not None and urlsplit(url).hostname else "its host or port cannot be read"


def _path(url: str) -> str | None:
    """Return the path of an address, None when the parts before it cannot be read."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts.path


def _addresses(launcher: LauncherSettings) -> Iterator[str]:
    if launcher.port == launcher.flower_port:
        yield f"{PREFIX}FLOWER_PORT: it is {launcher.port}, and so is SENTINEL_PORT. Set one of them to another port."
    try:
        found = socket.getaddrinfo(launcher.host, launcher.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        yield (
            f"{PREFIX}HOST: {launcher.host!r} is neither an address nor a name that can be looked up. "
            "Set it to an address of this machine, as 127.0.0.1, or unset it."
        )
        return
    if not any(_is_ours(family, address[0]) for family, _, _, _, address in found):
        yield (
            f"{PREFIX}HOST: {launcher.host!r} is not an address of this machine. "
            "Set it to one that is, as 127.0.0.1, or unset it."
        )


def _is_ours(family: int, address: str | int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True


def _packs(pipe: PipeSettings) -> Iterator[str]:
    if pipe.site_packs is not None and not pipe.site_packs.is_dir():
        yield f"{PREFIX}SITE_PACKS: there is no folder {str(pipe.site_packs)!r}. Name one of rule packs, or unset it."
    if pipe.overrides is not None and not pipe.overrides.is_file():
        yield f"{PREFIX}OVERRIDES: there is no file {str(pipe.overrides)!r}. Name a file of overrides, or unset it."
    if pipe.packs is None:
        return
    if not pipe.packs.is_dir():
        yield f"{PREFIX}PACKS: there is no folder {str(pipe.packs)!r}. Name a folder of rule packs, or unset it."
        return
    files = replace(RuleFiles.of(pipe), site=None, overrides=None)
    if told := _fault_in(files):
        yield (
            f"{PREFIX}PACKS: the rules do not load: {told}. `{files.check_command}` lists what to mend; or unset it."
        )


def rule_warnings(pipe: PipeSettings) -> Iterator[str]:
    """Tell what is wrong with the site's own packs and overrides: no reason not to start. What is new is compiled."""
    files = RuleFiles.of(pipe)
    if told := _fault_in(files):
        yield (
            f"Warning: the site's rules do not load: {told}. The rules that worked last are used, or the shipped ones. "
            f"Correct the files; that is noticed without a restart. `{files.check_command}` names everything."
        )


def _fault_in(files: RuleFiles) -> str:
    """Return the first thing that is wrong with rules, and how many more there are; nothing where they load."""
    from detection import DetectionError  # noqa: PLC0415 - the engine is slow to load, and seldom needed here

    try:
        files.load(datetime.now(UTC).date())
    except (DetectionError, OSError) as error:
        first, *others = str(error).splitlines()
        return f"{first} (and {len(others)} more)" if others else first
    return ""
