"""The tables about the pipe's own operation: incidents, canaries, rows that nobody accepted, and what is remembered."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from pipeline.storage._models import metadata

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", Uuid, primary_key=True),
    Column("over_id", Uuid, nullable=False, unique=True),  # under which its end is told
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("severity", SmallInteger, nullable=False),
    Column("title", Text, nullable=False),
    Column("detail", Text, nullable=False),  # as it was told; what is seen now stands in latest
    Column("latest", Text, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Column("told_at", DateTime(timezone=True)),  # null: seen once, and perhaps gone at the next look
    Column("ended_at", DateTime(timezone=True)),
    Index("incidents_open", "kind", "subject", unique=True, postgresql_where=text("ended_at IS NULL")),
    Index("incidents_opened", "opened_at"),
)

canaries = Table(
    "canaries",
    metadata,
    Column("canary_id", Uuid, primary_key=True),
    Column("alert_id", Uuid, nullable=False, unique=True),
    Column("lane", Text, nullable=False),
    Column("sent_at", DateTime(timezone=True), nullable=False),
    Column("judged_at", DateTime(timezone=True)),
    Column("outcome", Text),  # flagged | clean | failed
    Column("alerted_at", DateTime(timezone=True)),
    Index("canaries_sent", "lane", "sent_at"),
)

strays = Table(
    "strays",
    metadata,
    Column("chunk", Uuid, nullable=False),
    Column("accepted_at", DateTime(timezone=True), nullable=False),
    Column("rows", Integer, nullable=False),
    Column("found_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("chunk", "accepted_at"),
)

reviewed = Table(
    "reviewed",
    metadata,
    Column("partition", Text, primary_key=True),
    Column("block", BigInteger, nullable=False, server_default=text("0")),  # up to which its newest rows were looked at
    Column(
        "written", BigInteger, nullable=False, server_default=text("-1")
    ),  # rows ever written to it, when the last pass over it began
    Column("next", Uuid),  # the chunk from which on that pass goes on; null: it is complete
)

counted = Table(
    "counted",
    metadata,
    Column("only", SmallInteger, primary_key=True, autoincrement=False),  # 1: there is one row
    Column("run_id", Text, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("forgotten", BigInteger, nullable=False),
    Column("surplus", BigInteger, nullable=False, server_default=text("0")),
    Column("written_off", BigInteger, nullable=False, server_default=text("0")),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
