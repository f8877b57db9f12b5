"""What cannot be done, told on a page: unknown and unusable filters, and uploads that a browser sent by itself."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from deploy.asgi import create_app
from pipeline.storage import transaction
from pipeline.storage._models import ledger_hours
from tests.integration.dashboard.recording import BASE

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
