"""The secrets that webhooks are signed with: those of Standard Webhooks (``whsec_`` and base64), or plain texts."""

import base64
import binascii

PREFIX = "whsec_"
FEWEST_BYTES = 16


def keys_of(secrets: str) -> list[bytes]:
    """The keys of secrets that are separated by spaces; the first is the newest.

    :raises ValueError: one cannot be used, in words that do not repeat it.
    """
    return [_key(secret, number) for number, secret in enumerate(secrets.split(), 1)]


def _key(secret: str, number: int) -> bytes:
    key = secret.encode()
    if secret.startswith(PREFIX):
        text = secret.removeprefix(PREFIX)
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"Secret {number}: what follows {PREFIX} is no base64") from error
    if len(key) < FEWEST_BYTES:
        raise ValueError(f"Secret {number} is too short: {FEWEST_BYTES} bytes or more, as `openssl rand` makes them")
    return key
