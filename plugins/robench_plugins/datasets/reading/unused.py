"""Finds settings that have no effect on the files of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from robench_plugins.datasets.reading.files import format_of

HINTS = {
    "separator": "leave it out",
    "encoding": "leave it out",
    "header": "user, item, rating and time name its columns",
    "columns": "user, item, rating and time name its columns",
}
# The settings that have no effect on the files of each format.
UNUSED = {"Parquet": tuple(HINTS), "JSON lines": ("separator", "header", "columns"), "delimited text": ()}


def find_unused(given: Mapping[str, object], files: Mapping[str, Sequence[Path]]) -> tuple[str, str, str] | None:
    """Returns a setting that has no effect, the problem and a hint, or None.

    A setting has an effect if it applies to at least one file. A value for a missing file has no effect.

    Args:
        given: the values of ``separator``, ``encoding``, ``header`` and ``columns`` that the user has set. A mapping
            has one value per kind of file.
        files: the files of each kind, such as ``{"path": [ratings.csv]}``. Kinds without files are left out.
    """
    for setting, value in given.items():
        kinds: Iterable[str] = files if setting in ("separator", "encoding") else ("path",)
        for kind in value if isinstance(value, Mapping) else (None,):
            if kind is not None and kind not in files:
                return setting, f"{setting} describes the file {kind}, which is missing", f"{kind}: FILE"
            paths = [path for one in (kinds if kind is None else (kind,)) for path in files.get(one, ())]
            formats = {format_of(path) for path in paths}
            if paths and all(setting in UNUSED[one] for one in formats):
                names = ", ".join(dict.fromkeys(path.name for path in paths))
                return setting, f"{setting} has no effect on {' or '.join(sorted(formats))} ({names})", HINTS[setting]
    return None
