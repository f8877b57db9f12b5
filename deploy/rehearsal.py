"""What every process makes when it starts, made once by the launcher before it forks them.

Python fills caches when something is made for the first time: expressions, types, which class is of which kind. Filled
in the launcher they are there once, and no child writes to pages that it would otherwise share.
"""

from contextlib import suppress

from pipeline.journal import Journal, connect
from pipeline.queue import make_celery
from pipeline.settings import PipeSettings
from pipeline.storage import make_engine


def rehearse() -> None:
    """Make what every process makes. Nothing is connected; what is wrong with the settings, the children say."""
    with suppress(Exception):
        pipe = PipeSettings()
        make_celery(pipe, "rehearsal").finalize()
        Journal(connect(pipe.redis_url.get_secret_value()))
        make_engine(pipe.database_url.get_secret_value()).dispose()
