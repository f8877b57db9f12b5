"""The tables. ``events``, ``findings`` and ``alerts`` are partitioned by the chunk's accept time, a day each."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from pipeline.storage._values import VALUES

metadata = MetaData()

_ORDER = ("received_at", "chunk", "position")
PARTITIONED = ("events", "findings", "alerts")


def _time(name: str, *, null: bool = False) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=null)


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


chunks = Table(
    "chunks",
    metadata,
    Column("chunk_id", Text(collation="C"), primary_key=True),
    _text("state"),  # settled | split
    _text("lane"),
    _time("accepted_at"),
    _time("settled_at"),
    _count("events"),
    _count("judged"),
    _count("duplicates"),
    _count("dead"),
    _count("flagged"),
    _text("rule_set", null=True),
    _text("acceptor"),
    Column("accepted_second", BigInteger, nullable=False),
    Column("upload_id", Uuid),
    Index("chunks_upload", "upload_id", postgresql_where=text("upload_id IS NOT NULL")),
    Index("chunks_accepted", "accepted_at"),
    Index("chunks_settled", "settled_at"),
    Index("chunks_acceptor", "acceptor", "accepted_second"),
)

events = Table(
    "events",
    metadata,
    _time("accepted_at"),
    Column("chunk", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    _time("received_at"),
    _time("judged_at"),
    _text("lane"),
    Column("upload_id", Uuid),
    _time("occurred_at"),
    _text("timestamp"),
    _text("user"),
    _text("agent"),
    _text("tool"),
    _text("prompt"),
    _text("response"),
    _text("session_id", null=True),
    _text("trace_id", null=True),
    _text("metadata", null=True),
    _text("client_id", null=True),
    _text("nuls", null=True),  # {"prompt": [3]}: PostgreSQL holds no NUL, so their places are kept beside the text
    Column("severity", SmallInteger),  # null: clean; 0 informational … 4 critical
    _text("rule_set"),
    Column("rules", ARRAY(Text)),  # null: clean; the ids of the rules that matched, as in findings
    PrimaryKeyConstraint("chunk", "position", "accepted_at"),
    Index("events_order", *_ORDER),
    Index("events_flagged", *_ORDER, postgresql_where=text("severity IS NOT NULL")),
    Index("events_severity", "severity", *_ORDER, postgresql_where=text("severity IS NOT NULL")),
    Index("events_upload", "upload_id", *_ORDER, postgresql_where=text("upload_id IS NOT NULL")),
    Index("events_values", VALUES, postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 512}),
    Index("events_unruled", "accepted_at", postgresql_where=text("severity IS NOT NULL AND rules IS NULL")),
    postgresql_partition_by="RANGE (accepted_at)",
)

client_ids = Table(
    "client_ids",
    metadata,
    Column("client_id", Text(collation="C"), nullable=False),
    Column("digest", LargeBinary, nullable=False),  # of what the event says
    Column("chunk", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    _time("accepted_at"),
    PrimaryKeyConstraint("client_id", "digest"),
    Index("client_ids_accepted", "accepted_at", postgresql_using="brin"),
)

duplicates = Table(
    "duplicates",
    metadata,
    Column("chunk", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    Column("first_chunk", Uuid, nullable=False),
    Column("first_position", Integer, nullable=False),
    _time("accepted_at"),
    PrimaryKeyConstraint("chunk", "position"),
    Index("duplicates_accepted", "accepted_at", postgresql_using="brin"),
)

findings = Table(
    "findings",
    metadata,
    _time("accepted_at"),
    Column("chunk", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    _text("rule_id"),
    _text("title"),
    Column("severity", SmallInteger, nullable=False),
    _text("confidence"),
    _text("field"),
    Column("start", Integer),
    Column("end", Integer),
    _text("excerpt"),
    _text("view"),
    _text("reason"),
    _text("tags"),
    Index("findings_event", "chunk", "position"),
    postgresql_partition_by="RANGE (accepted_at)",
)

alerts = Table(
    "alerts",
    metadata,
    _time("accepted_at"),
    Column("alert_id", Uuid, nullable=False),
    Column("chunk", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    _time("created_at"),
    _text("lane"),
    Column("severity", SmallInteger, nullable=False),
    _text("title"),
    Column("rule_ids", ARRAY(Text), nullable=False),
    _text("user"),
    _text("agent"),
    _text("tool"),
    Column("sendable", Boolean, nullable=False),  # false: recorded and shown only, below the least severity to send
    PrimaryKeyConstraint("alert_id", "accepted_at"),
    Index("alerts_created", "created_at", "alert_id"),
    Index("alerts_event", "chunk", "position"),
    postgresql_partition_by="RANGE (accepted_at)",
)

outbox = Table(
    "outbox",
    metadata,
    Column("alert_id", Uuid, primary_key=True),
    _time("accepted_at"),
    Column("lane_rank", SmallInteger, nullable=False),  # 0 realtime, 1 bulk: live before bulk
    Column("severity", SmallInteger, nullable=False),
    _time("due_at"),
    _count("attempts"),
    Index("outbox_due", "lane_rank", text("severity DESC"), "due_at"),
)

notifications = Table(
    "notifications",
    metadata,
    Column("alert_id", Uuid, nullable=False),
    _text("receiver"),
    _text("state"),  # sent | waiting | rejected
    _count("attempts"),
    _text("reason"),
    _time("at"),
    PrimaryKeyConstraint("alert_id", "receiver"),
    Index("notifications_at", "at"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("event_id", Text(collation="C"), primary_key=True),  # of a chunk that cannot be decoded: "<chunk>.*"
    _text("chunk_id"),
    _time("accepted_at"),
    _time("dead_at"),
    _text("lane"),
    Column("upload_id", Uuid),
    _count("attempts"),
    Column("reruns", Integer, nullable=False, server_default=text("0")),
    Column("events", Integer, nullable=False, server_default=text("1")),
    _text("error"),
    Column("body", LargeBinary, nullable=False),
    Index("dead_letters_at", "dead_at"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", Uuid, primary_key=True),
    _text("file_name"),
    _text("state"),  # analyzing | failed; before that the journal knows, and "done" is what the chunks' counts say
    Column("bytes_total", BigInteger, nullable=False),
    Column("bytes_read", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    _text("error", null=True),
    _time("received_at"),
    _time("split_at", null=True),
    Index("uploads_received", "received_at"),
)

rejections = Table(
    "rejections",
    metadata,
    _text("source"),  # an upload's or a batch's id
    Column("index", BigInteger, nullable=False),
    Column("byte_offset", BigInteger),
    _text("pointer"),
    _text("code"),
    _text("detail"),
    Column("record", LargeBinary),
    _text("spooled", null=True),  # the spool's file that holds a record too large for a row
    _time("at"),
    PrimaryKeyConstraint("source", "index"),
    Index("rejections_at", "at"),
)

tallies = Table(
    "tallies",
    metadata,
    _time("bucket"),  # the minute in which the chunk was accepted; an hour, once compacted
    _text("dimension"),  # severity | tool | user | agent | rule
    _text("value"),
    _count("events"),
    _count("flagged"),
    Index("tallies_bucket", "dimension", "bucket"),
)
