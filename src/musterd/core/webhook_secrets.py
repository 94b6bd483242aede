"""Parses the secrets that sign webhooks: Standard Webhooks secrets (``whsec_`` and base64) or plain text."""

import base64
import binascii

PREFIX = "whsec_"
MIN_BYTES = 16


def keys_of(secrets: str) -> list[bytes]:
    """The signing keys of secrets that are separated by spaces; the first is the newest.

    :raises ValueError: a secret is not valid. The message does not quote it.
    """
    return [_parse_secret(secret, number) for number, secret in enumerate(secrets.split(), 1)]


def _parse_secret(secret: str, number: int) -> bytes:
    key = secret.encode()
    if secret.startswith(PREFIX):
        text = secret.removeprefix(PREFIX)
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"Secret {number}: the text after {PREFIX} is not base64") from error
    if len(key) < MIN_BYTES:
        raise ValueError(
            f"Secret {number} is too short; generate one of at least {MIN_BYTES} bytes with `openssl rand`"
        )
    return key
