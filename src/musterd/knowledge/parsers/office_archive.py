"""The archive of an Office file, checked before a library unpacks it."""

import zipfile
from io import BytesIO

from musterd.knowledge.problems import Unreadable

MAX_UNPACKED_BYTES = 256 * 1024 * 1024
MAX_FILES = 10_000
_ENCRYPTED = 0x1


def checked(content: bytes, noun: str) -> BytesIO:
    """The file for a library that reads it.

    :raises Unreadable: it is damaged, has a password, or unpacks to more than it should.
    """
    file = BytesIO(content)
    try:
        with zipfile.ZipFile(file) as archive:
            files = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise Unreadable(f"The {noun} could not be read. It is damaged or incomplete.") from error
    # No entry unpacks to more than the size that it names: zipfile stops there.
    if len(files) > MAX_FILES or sum(file.file_size for file in files) > MAX_UNPACKED_BYTES:
        raise Unreadable(f"The {noun} unpacks to more than {MAX_UNPACKED_BYTES // 1024**2} MB.")
    if any(file.flag_bits & _ENCRYPTED for file in files):
        raise Unreadable(f"The {noun} has a password. Save it without one.")
    file.seek(0)
    return file
