"""Service accounts: who may come in by a token of this server's own."""

import json
from collections.abc import Sequence
from typing import Any

from musterd.core.errors import Conflict
from musterd.core.scopes import Scopes
from musterd.core.service_accounts import AccountFilter, ServiceAccount
from musterd.store.database import Row, Statement, Tx

_COLUMNS = "id, name, token_prefix, scopes, created_at, created_by, expires_at, last_used_at, revoked_at"
ADD = Statement(
    "service_account_add",
    """INSERT INTO service_accounts (id, name, token_hash, token_prefix, scopes, created_at, created_by, expires_at)
       VALUES (:id, :name, :token_hash, :token_prefix, :scopes, :created_at, :created_by, :expires_at)
       ON CONFLICT DO NOTHING""",
)
BY_TOKEN = Statement(
    "service_account_by_token", f"SELECT {_COLUMNS} FROM service_accounts WHERE token_hash = :token_hash"
)
USED = Statement(
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
"""What accounts can be listed by; each has an index."""
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
        raise Conflict(f"There is a service account '{account.name}' already; revoke it, or choose another name")


async def by_token(tx: Tx, token_hash: str) -> ServiceAccount | None:
    """The account whose token this is the hash of."""
    row = await tx.one(BY_TOKEN, {"token_hash": token_hash})
    return None if row is None else _account(row)


async def by_name(tx: Tx, name: str) -> ServiceAccount | None:
    """The account of this name that was not revoked."""
    row = await tx.one(BY_NAME, {"name": name})
    return None if row is None else _account(row)


async def used(tx: Tx, account_id: str, now: float, before: float) -> None:
    """Note that an account was used, unless that was noted after ``before``."""
    await tx.run(USED, {"id": account_id, "now": now, "before": before})


async def revoke(tx: Tx, account_id: str, now: float) -> bool:
    """Revoke an account; whether there is one."""
    return bool(await tx.run(REVOKE, {"id": account_id, "now": now}))


async def not_revoked(tx: Tx, ids: Sequence[str]) -> set[str]:
    """Those of the accounts that are there and were not revoked."""
    return {row["id"] for row in await tx.all(NOT_REVOKED, {"ids": json.dumps(ids)})}


async def search(tx: Tx, wanted: AccountFilter) -> tuple[list[ServiceAccount], int]:
    """One page of accounts, and the number of all that match."""
    where = "" if wanted.with_revoked else "WHERE revoked_at IS NULL"
    direction = "DESC" if wanted.descending else "ASC"
    key = f"{where}{wanted.sort_by}{direction}"
    count = Statement("service_accounts_count" + key, f"SELECT count(*) AS n FROM service_accounts {where}")
    page = Statement(
        "service_accounts_page" + key,
        f"""SELECT {_COLUMNS} FROM service_accounts {where}
            ORDER BY {ORDERS[wanted.sort_by]} {direction}, id {direction}
            LIMIT :limit OFFSET :offset""",
    )
    params: dict[str, Any] = {"limit": wanted.limit, "offset": (wanted.page - 1) * wanted.limit}
    counted = await tx.one(count, {})
    return [_account(row) for row in await tx.all(page, params)], 0 if counted is None else int(counted["n"])


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
