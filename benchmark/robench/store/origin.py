"""Notes which suite file a folder of results belongs to.

Two suites may have the same name, and therefore the same default folder of results. The note protects the plan of one
suite from a run of the other. The note holds the name of the suite file and a hash of its path, but not the path. The
note is not published.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from robench.api.errors import UserError, counted
from robench.files.atomic import write_text
from robench.files.reading import parse_json, read_file
from robench.files.writing import naming

CELL_ID = re.compile("[0-9a-f]{16}")
ORIGIN = ".suite-file"  # the name of the note in a folder of results


def check_origin(folder: Path, suite: Path, make_plan: Callable[[], Mapping[str, Any]]) -> None:
    """Checks that a run would not remove entries from another suite file's plan.

    The file that made the plan may change in any way. Another file may only add cells, metrics and tables to the plan.

    Args:
        folder: the folder of results.
        suite: the suite file.
        make_plan: a function that returns the content of the new plan.json.

    Raises:
        UserError: if the stored plan comes from another file, and the new plan lacks some of its entries.
    """
    note = _read(folder / ORIGIN)
    if note.get("place") in (None, _place(suite, folder)) or _is_inside(suite, folder):
        return
    stored, plan = _read(folder / "plan.json"), make_plan()
    lost = [
        counted(count, noun)
        for name, noun in (("cells", "cell"), ("metrics", "metric"), ("ranking", "table"))
        if (count := len(_entries(stored, name) - _entries(plan, name)))
    ]
    if lost:
        raise UserError(
            f"its plan comes from another suite file, '{note.get('file')}', and would lose {', '.join(lost)}",
            where=str(folder),
            hint=f"give this suite another name or another --results; if the file was moved, remove {ORIGIN}",
        )


def note_origin(folder: Path, suite: Path, plan: Mapping[str, Any]) -> None:
    """Writes the note about the suite file.

    The caller writes the plan afterwards, because this function reads the earlier plan.

    If the new plan has the same entries as the stored plan, an earlier note is kept. If the suite file is the
    ``suite.yaml`` of the folder itself, no note is written.

    Args:
        folder: the folder of results.
        suite: the suite file.
        plan: the content of the new plan.json.

    Raises:
        UserError: if the folder cannot be written.
    """
    stored = _read(folder / "plan.json")
    same = all(_entries(stored, name) == _entries(plan, name) for name in ("cells", "metrics", "ranking"))
    if _is_inside(suite, folder) or (same and _read(folder / ORIGIN)):
        return
    note = {"file": suite.name, "place": _place(suite, folder)}
    with naming(folder):
        write_text(folder / ORIGIN, json.dumps(note, ensure_ascii=False) + "\n")


def find_suite_folder(folder: Path) -> Path | None:
    """Returns the folder of the suite file that was run, or None if it is not found.

    The note holds a hash of the path to this file, so the folder of results, the folders above it and the current
    folder are tried.

    Args:
        folder: the folder of results.
    """
    note = _read(folder / ORIGIN)
    name = note.get("file")
    if not isinstance(name, str) or Path(name).name != name:
        return None
    tried = (*folder.absolute().parents, Path())
    return next((one for one in tried if _place(one / name, folder) == note.get("place")), None)


def read_planned_models(folder: Path) -> dict[str, str]:
    """Returns the model's label for each cell in the stored plan, by the cell's id.

    The plan is not checked, because a run writes a new one. The result is empty if there is no plan.
    """
    cells = _read(folder / "plan.json").get("cells")
    rows = [row for row in cells if isinstance(row, dict)] if isinstance(cells, list) else []
    return {
        str(row["cell"]): str(row.get("model_label", "")) for row in rows if CELL_ID.fullmatch(str(row.get("cell")))
    }


def _is_inside(suite: Path, folder: Path) -> bool:
    """Returns whether a suite file is the ``suite.yaml`` in the folder of results."""
    return suite.resolve() == (folder / "suite.yaml").resolve()


def _place(suite: Path, folder: Path) -> str:
    """Returns a hash of the path from a folder to a suite file.

    The hash stays the same if both are moved together.
    """
    try:
        path = os.path.relpath(suite.resolve(), folder.resolve())
    except ValueError:  # on Windows, for two drives
        path = str(suite.resolve())
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()


def _entries(plan: Mapping[str, Any], name: str) -> set[str]:
    """Returns the entries of one list in a plan as JSON strings.

    A cell is represented by its id.
    """
    entries = plan.get(name)
    if not isinstance(entries, list | tuple):
        return set()
    return {json.dumps(e.get("cell", e) if isinstance(e, dict) else e, sort_keys=True) for e in entries}


def _read(path: Path) -> Mapping[str, Any]:
    """Returns the JSON object in a file, or {} if no object can be read there."""
    try:
        content = parse_json(read_file(path), str(path))
    except (OSError, UserError):
        return {}
    return content if isinstance(content, dict) else {}
