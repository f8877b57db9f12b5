"""What is kept beside the partitions, and goes by age: dead letters, uploads, clients' ids, notes of many kinds."""

from datetime import datetime

from sqlalchemy import Connection, delete

from pipeline.storage._models import client_ids, dead_letters, duplicates, notifications, uploads
from pipeline.storage._operation import audit, incidents


def forget(connection: Connection, *, before: datetime) -> None:
    """Delete what is older than an instant.

    A dead letter is content like an event: once it is that old nobody can run it again. The ledger goes on counting it.
    """
    for table, column in (
        (dead_letters, dead_letters.c.dead_at),
        (notifications, notifications.c.at),
        (uploads, uploads.c.received_at),
        (audit, audit.c.at),
        (client_ids, client_ids.c.accepted_at),
        (duplicates, duplicates.c.accepted_at),
        (incidents, incidents.c.ended_at),
    ):
        connection.execute(delete(table).where(column < before))
