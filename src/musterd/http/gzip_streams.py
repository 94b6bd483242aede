"""Compresses streams and files. Frames of a run are similar, and each one must be readable as soon as it is sent."""

import zlib

LEVEL = 3
WINDOW_BITS, MEMORY_LEVEL = 12, 5
"""A small window is enough, because a frame resembles the one or two before it: 4 KiB, and 32 KiB per stream in all."""
LARGEST_WINDOW_BITS = 15
GZIP = 16
"""Added to the window bits, this makes zlib write the gzip format."""


class GzipStream:
    """Compresses one stream chunk by chunk."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP + WINDOW_BITS, MEMORY_LEVEL)

    def compress(self, chunk: bytes | memoryview) -> bytes:
        """Compress a chunk and flush, so that the client can read all of it."""
        return self._compressor.compress(chunk) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """The end of the compressed stream."""
        return self._compressor.flush()


def gzipped(content: bytes) -> bytes:
    """A whole file, as small as it can be."""
    compressor = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zlib.DEFLATED, GZIP + LARGEST_WINDOW_BITS)
    return compressor.compress(content) + compressor.flush()


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client with this ``Accept-Encoding`` accepts gzip."""
    for coding in accept_encoding.lower().split(","):
        name, *parameters = (word.strip() for word in coding.split(";"))
        if name == "gzip":
            return not any(_is_zero_weight(parameter) for parameter in parameters)
    return False


def _is_zero_weight(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and not value.strip().strip("0.")
