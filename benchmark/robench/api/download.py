"""The class of files that robench downloads from the publishers of data sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Download:
    """A file that the publisher of a data set offers.

    An unknown size or checksum keeps its default.

    Args:
        url: the address of the file, with http or https.
        size: the size in bytes, or None if the size is not known.
        checksum: the checksum that the publisher states, as ``md5:...`` or ``sha256:...``. If the string is empty, the
            sha256 of the first download is stored and shown.
        read_at: the addresses of the pages that state the size and the checksum.
    """

    url: str
    size: int | None = None
    checksum: str = ""
    read_at: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the file, which is the last part of the address."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name
