"""What the pages and the read endpoints stand on."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request, Response
from redis import Redis

from dashboard import guide, rendering
from detection import RuleSet
from pipeline.settings import PipeSettings
from pipeline.storage.reading import Database

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d+)?/?|https?://\[[0-9A-Fa-f:.]+\](:\d+)?/?")


@dataclass(frozen=True, slots=True)
class DashboardState:
    """The connections and settings of one dashboard."""

    engine: Database
    redis: Redis
    rules: Callable[[], RuleSet]
    settings: PipeSettings
    public_url: str | None  # None: as the request's Host says
    flower_url: str

    @property
    def rule_set(self) -> RuleSet:
        """The rules in force at this moment; a moment later they may be others."""
        return self.rules()

    def page(self, template: str, **context: object) -> Response:
        """Render a page, with what every page says of the installation."""
        usual = {"rule_set": self.rule_set.version, "retention_days": self.settings.retention_days}
        return rendering.page(template, usual | context)

    def curl(self, request: Request) -> str:
        """Return the command that posts one event to this installation."""
        return guide.curl(self.base_url(request))

    def base_url(self, request: Request) -> str:
        """Return where this installation is reached, without a slash at its end.

        It becomes part of a command that people copy into a shell, so a Host that is no plain address is not used.
        """
        if self.public_url:
            return self.public_url.rstrip("/")
        asked = str(request.base_url)
        return asked.rstrip("/") if _ORIGIN.fullmatch(asked) else "http://127.0.0.1:8000"
