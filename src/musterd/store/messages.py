"""Messages to the agents of a running run. Each is taken by a model call, or else by the session's next run."""

from musterd.core.records import SteeringMessage
from musterd.store.database import Statement
from musterd.store.shards import SessionTx

ADD = Statement(
    "message_add",
    """INSERT INTO run_messages (id, shard, root_id, run_id, text, sent_by, created_at)
       VALUES (:id, :shard, :root, :run_id, :text, :by, :now)""",
)
OF_ROOT = Statement(
    "messages_of_root",
    """SELECT id, run_id, text, sent_by, created_at, taken_at, taken_path, next_run_id FROM run_messages
       WHERE root_id = :root AND shard = :shard ORDER BY created_at, id""",
)
# A message is taken once: a second call must not replace the path of the call that has seen it.
TAKE = Statement(
    "message_take",
    """UPDATE run_messages SET taken_at = :now, taken_path = :path
       WHERE id = :id AND shard = :shard AND taken_at IS NULL""",
)
COPY = Statement(
    "messages_copy",
    """INSERT INTO run_messages (id, shard, root_id, run_id, text, sent_by, created_at, taken_at, taken_path)
       SELECT :root || ' ' || id, shard, :root, CASE run_id WHEN :origin THEN :root ELSE run_id END, text, sent_by,
              created_at, taken_at, taken_path
       FROM run_messages WHERE root_id = :origin AND shard = :shard AND IN_LIST(taken_path, :paths)""",
)
BEGAN_NEXT = Statement(
    "messages_began_next",
    """UPDATE run_messages SET taken_at = :now, next_run_id = :next
       WHERE root_id = :root AND shard = :shard AND taken_at IS NULL""",
)


async def add(tx: SessionTx, root_id: str, message: SteeringMessage) -> None:
    """Store a message."""
    await tx.run(
        ADD,
        {
            "id": message.id,
            "root": root_id,
            "run_id": message.run_id,
            "text": message.text,
            "by": message.sent_by,
            "now": message.created_at,
        },
    )


async def of_root(tx: SessionTx, root_id: str) -> list[SteeringMessage]:
    """The messages to the runs of a tree, oldest first."""
    return [
        SteeringMessage(**{name: row[name] for name in SteeringMessage.__slots__})
        for row in await tx.all(OF_ROOT, {"root": root_id})
    ]


async def take(tx: SessionTx, message_id: str, path: str, now: float) -> None:
    """Mark a message as seen by the model call at ``path``.

    The caller does so in the transaction that stores the call. After a crash before it the next attempt sees the
    message again; after it the stored call, which is not repeated, has seen it.
    """
    await tx.run(TAKE, {"id": message_id, "path": path, "now": now})


async def copy_taken(tx: SessionTx, origin_id: str, root_id: str, paths: str) -> int:
    """Copy the messages that model calls of another run saw; return their number.

    :param paths: the paths of these calls, as JSON.
    """
    return await tx.run(COPY, {"origin": origin_id, "root": root_id, "paths": paths})
