"""The tables about the pipe's own operation: its accounts, incidents and canaries, who may use it, and who did what."""

from sqlalchemy import (
    BigInteger,
    Boolean,
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
from sqlalchemy.dialects.postgresql import ARRAY

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

witness = Table(
    "witness",
    metadata,
    Column("acceptor", Text, nullable=False),
    Column("second", BigInteger, nullable=False),
    Column("events", Integer, nullable=False),
    Column("reconciled", Boolean, nullable=False, server_default=text("false")),
    Column("uncertain", Integer, nullable=False, server_default=text("0")),
    Column("loss", BigInteger),  # the first second of the loss that this was found to be a part of
    Column("written_off", Integer, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("acceptor", "second"),
    Index("witness_open", "second", postgresql_where=text("NOT reconciled")),
)

ledger_hours = Table(
    "ledger_hours",
    metadata,
    Column("hour", DateTime(timezone=True), primary_key=True),  # in which the chunks were settled; it is over
    Column("judged", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("dead", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text(collation="C"), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
)

audit = Table(
    "audit",
    metadata,
    Column("audit_id", BigInteger, primary_key=True, autoincrement=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
