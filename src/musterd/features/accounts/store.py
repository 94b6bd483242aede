"""The statements on service accounts."""

import json
from collections.abc import Sequence
from typing import Any

from musterd.core.errors import Conflict
from musterd.core.scopes import Scopes
from musterd.features.accounts.records import AccountFilter, ServiceAccount
from musterd.store.database import Row, Statement, Tx

_COLUMNS = "id, name, token_prefix, scopes, created_at, created_by, expires_at, last_used_at, revoked_at"
# The unique index of names that are not revoked decides between two accounts of one name; the second inserts nothing.
ADD = Statement(
    "service_account_add",
    """INSERT INTO service_accounts (id, name, token_hash, token_prefix, scopes, created_at, created_by, expires_at)
       VALUES (:id, :name, :token_hash, :token_prefix, :scopes, :created_at, :created_by, :expires_at)
       ON CONFLICT DO NOTHING""",
)
BY_TOKEN = Statement(
    "service_account_by_token", f"SELECT {_COLUMNS} FROM service_accounts WHERE token_hash = :token_hash"
)
BY_ID = Statement("service_account_by_id", f"SELECT {_COLUMNS} FROM service_accounts WHERE id = :id")
# The guard limits the writes of all processes together: each of them notes uses on its own.
SET_USED = Statement(
    "service_account_used",
    """UPDATE service_accounts SET last_used_at = :now
       WHERE id = :id AND (last_used_at IS NULL OR last_used_at < :before)""",
)
REVOKE = Statement(
    "service_account_revoke", "UPDATE service_accounts SET revoked_at = COALESCE(revoked_at, :now) WHERE id = :id"
)
BY_NAME = Statement(
    "service_account_by_name", f"SELECT {_COLUMNS} FROM service_accounts WHERE name = :name AND revoked_at IS NULL"
)
ORDERS = {
    "created_at": "created_at",
    "name": "name",
    "expires_at": "COALESCE(expires_at, 0)",
    "last_used_at": "COALESCE(last_used_at, 0)",
}
"""The orders in which accounts can be listed; each has an index."""
NOT_REVOKED = Statement(
    "service_accounts_not_revoked", "SELECT id FROM service_accounts WHERE IN_LIST(id, :ids) AND revoked_at IS NULL"
)


async def add(tx: Tx, account: ServiceAccount, token_hash: str) -> None:
    """Store a new account.

    :raises Conflict: another one that was not revoked has its name.
    """
    params = {
        "id": account.id,
        "name": account.name,
        "token_hash": token_hash,
        "token_prefix": account.token_prefix,
        "scopes": json.dumps(sorted(account.scopes.granted)),
        "created_at": account.created_at,
        "created_by": account.created_by,
        "expires_at": account.expires_at,
    }
    if not await tx.run(ADD, params):
        raise Conflict(f"A service account '{account.name}' already exists; revoke it, or choose another name")


async def by_token(tx: Tx, token_hash: str) -> ServiceAccount | None:
    """The account whose token has this hash."""
    row = await tx.one(BY_TOKEN, {"token_hash": token_hash})
    return None if row is None else _account(row)


async def by_id(tx: Tx, account_id: str) -> ServiceAccount | None:
    """The account with this id."""
    row = await tx.one(BY_ID, {"id": account_id})
    return None if row is None else _account(row)


async def by_name(tx: Tx, name: str) -> ServiceAccount | None:
    """The account with this name that was not revoked."""
    row = await tx.one(BY_NAME, {"name": name})
    return None if row is None else _account(row)


async def set_used(tx: Tx, account_id: str, now: float, before: float) -> None:
    """Store that an account was used, unless a use at or after ``before`` is stored."""
    await tx.run(SET_USED, {"id": account_id, "now": now, "before": before})


async def revoke(tx: Tx, account_id: str, now: float) -> bool:
    """Revoke an account; return whether it exists. One that was revoked before keeps its time."""
    return bool(await tx.run(REVOKE, {"id": account_id, "now": now}))


async def not_revoked(tx: Tx, ids: Sequence[str]) -> set[str]:
    """Those of the accounts that exist and were not revoked."""
    return {row["id"] for row in await tx.all(NOT_REVOKED, {"ids": json.dumps(ids)})}


async def search(tx: Tx, query: AccountFilter) -> tuple[list[ServiceAccount], int]:
    """One page of accounts, and the number of all that match."""
    where = "" if query.has_revoked else "WHERE revoked_at IS NULL"
    direction = "DESC" if query.is_descending else "ASC"
    key = f"{where}{query.sort_by}{direction}"
    count = Statement("service_accounts_count" + key, f"SELECT count(*) AS n FROM service_accounts {where}")
    page = Statement(
        "service_accounts_page" + key,
        f"""SELECT {_COLUMNS} FROM service_accounts {where}
            ORDER BY {ORDERS[query.sort_by]} {direction}, id {direction}
            LIMIT :limit OFFSET :offset""",
    )
    params: dict[str, Any] = {"limit": query.limit, "offset": (query.page - 1) * query.limit}
    total = await tx.one(count, {})
    return [_account(row) for row in await tx.all(page, params)], 0 if total is None else int(total["n"])


def _account(row: Row) -> ServiceAccount:
    return ServiceAccount(
        id=row["id"],
        name=row["name"],
        token_prefix=row["token_prefix"],
        scopes=Scopes.of(json.loads(row["scopes"])),
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )
