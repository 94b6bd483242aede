"""Compressing streams: the frames of a run repeat themselves, and each must be readable as soon as it is sent."""

import zlib

LEVEL = 3
WINDOW_BITS, MEMORY_LEVEL = 12, 5
"""What is repeated stands a frame or two before: 4 KiB of memory of it, and 32 KiB a stream in all, are enough."""
GZIP = 16
"""What zlib adds to the window's bits for gzip's form."""


class Packer:
    """Compresses one stream, piece by piece."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP + WINDOW_BITS, MEMORY_LEVEL)

    def pack(self, piece: bytes) -> bytes:
        """The piece, so that a reader has all of it."""
        return self._compressor.compress(piece) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """What ends the stream."""
        return self._compressor.flush()


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client that sends this header reads gzip."""
    for part in accept_encoding.lower().split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        if name == "gzip":
            return not any(_is_never(parameter) for parameter in parameters)
    return False


def _is_never(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and not value.strip().strip("0.")
