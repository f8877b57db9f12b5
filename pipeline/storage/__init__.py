"""Durable verdicts in PostgreSQL. Import from here; ``_models`` and ``_engine`` never leave."""

from pipeline.storage._engine import in_transaction, make_engine, rehearsal, transaction

__all__ = ["in_transaction", "make_engine", "rehearsal", "transaction"]
