"""A file on the web that belongs to a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Download:
    """A file that the publisher of a data set offers.

    A checksum or size that is not known stays empty. It is never guessed.

    Args:
        url: the address of the file, with http or https.
        size: the size in bytes, or None if it is not known.
        checksum: the checksum that the publisher states, as ``md5:...`` or ``sha256:...``. If it is empty, the sha256
            of the first download is kept and shown.
        read_at: the addresses of the pages on which the size and the checksum were read.
    """

    url: str
    size: int | None = None
    checksum: str = ""
    read_at: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the file."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name
