"""Files with the profiles of fake users that were made elsewhere.

``robench data import-profiles`` writes such a file, and the attack ``imported-profiles`` reads it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robench.api.errors import DataError

FORMAT = 1  # the version of the format
KEYS = {"robench_profiles", "source", "targets", "profiles"}


@dataclass(frozen=True)
class ProfileFile:
    """The content of a file with profiles.

    Items are named by their ids in the source data.

    Args:
        source: the tool that made the profiles, such as ``VAT``.
        targets: the promoted items.
        profiles: the items of each fake user, oldest first, without repetitions.
    """

    source: str
    targets: tuple[str, ...]
    profiles: tuple[tuple[str, ...], ...]

    def to_text(self) -> str:
        """Returns the content as JSON, with one line per profile."""
        rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in self.profiles)
        head = {"robench_profiles": FORMAT, "source": self.source, "targets": self.targets}
        return f'{json.dumps(head, ensure_ascii=False)[:-1]},\n "profiles": [\n  {rows}\n]}}\n'


def read_profile_file(path: Path) -> ProfileFile:
    """Reads a file that ``robench data import-profiles`` has written.

    Raises:
        DataError: if the file cannot be read, or has a different format.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except (ValueError, RecursionError):
        raise DataError("not a file of profiles", where=str(path), hint=_HINT) from None
    if not (isinstance(content, dict) and content.keys() == KEYS and content["robench_profiles"] == FORMAT):
        raise DataError("not a file of profiles", where=str(path), hint=_HINT)
    rows = content["profiles"]
    if not (isinstance(content["source"], str) and isinstance(rows, list) and all(map(_is_profile, rows))):
        raise DataError("profiles must be lists of different ids", where=str(path), hint=_HINT)
    if not _is_profile(content["targets"]):
        raise DataError("targets must be a list of different ids", where=str(path), hint=_HINT)
    return ProfileFile(content["source"], tuple(content["targets"]), tuple(map(tuple, rows)))


_HINT = "robench data import-profiles FILE writes one from the files of other tools"


def digest_profile_file(path: Path) -> str:
    """Returns the SHA-256 digest of a file, in hex digits.

    Raises:
        DataError: if the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None


def _is_profile(row: Any) -> bool:
    return isinstance(row, list) and all(isinstance(item, str) for item in row) and len({*row}) == len(row)
