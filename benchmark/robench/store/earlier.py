"""Keeps the record of a measured cell if a later measurement fails."""

from __future__ import annotations

from robench.api.errors import UserError
from robench.store.folder import Store
from robench.store.record import Record


def keep_earlier(store: Store, failed: Record, data_sha256: str) -> Record | None:
    """Keeps the earlier measurement of a cell that failed when it was measured again.

    The earlier record gets the new error as ``rerun_error``. Without this rule, a second run that fails would remove
    rows of a complete table.

    Args:
        store: the folder of results.
        failed: the record of the failure, which this function does not store.
        data_sha256: the digest of the cell's prepared data.

    Returns:
        The stored record. The result is None if the cell was not measured earlier, was measured on different data, or
        has damaged files.

    Raises:
        UserError: if the folder cannot be written.
    """
    try:
        earlier = store.measured(failed["id"])
    except UserError:
        return None
    if earlier is None or earlier["provenance"]["data_sha256"] != data_sha256:
        return None
    return store.write({**earlier, "rerun_error": failed["error"]}, store.arrays(earlier))
