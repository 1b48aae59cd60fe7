"""One record for people, and a user's list before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from robench.api.errors import UserError, did_you_mean
from robench.record import arrays_from_bytes
from robench.results import read_plan
from robench.store import Store

_TWIN = ("dataset", "split", "model_label", "defense_label", "lambda", "train_epsilon", "seed")


def show_cell(path: Path, user: str | None, console: Console) -> None:
    """Print a record; with ``user``, that user's held-out ranks and top list in the cell and in its clean cell.

    Args:
        path: ``results/<suite>/cells/<id>.json``, or the id alone of a cell below ``results/``.

    Raises:
        UserError: no such record or user.
    """
    found = sorted(Path("results").glob(f"*/cells/{path.name.removesuffix('.json')}.json"))
    path = found[0] if found and not path.exists() else path
    cell, store = path.name.removesuffix(".json"), Store(path.parent.parent)
    record = store.read(cell)
    if record is None:
        known = [p.stem for p in path.parent.glob("*.json")] if path.parent.is_dir() else []
        raise UserError("no such record", where=str(path), hint=did_you_mean(cell, known) if len(known) < 20 else "")
    plan = read_plan(store.folder)
    columns: dict[str, Any] = next((c for c in plan["cells"] if c["cell"] == cell), {})
    table = Table("", "", show_header=False, title=f"cell {cell}", title_justify="left")
    for name in (
        "status",
        "dataset",
        "split",
        "model_label",
        "defense_label",
        "lambda",
        "attack_label",
        "epsilon",
        "seed",
    ):
        table.add_row(name, str(columns.get(name, record.get(name, ""))))
    for name in ("metrics", "achieved", "diagnostics", "fit", "provenance"):
        for key, value in record.get(name, {}).items():
            shown = value["value"] if name == "metrics" else value
            table.add_row(f"{name}: {key}", f"{shown:.6g}" if isinstance(shown, float) else str(shown))
    if record.get("reason"):
        table.add_row("reason", record["reason"])
    console.print(table)
    if record.get("error"):
        console.print(record["error"]["traceback"] or record["error"]["message"], highlight=False, markup=False)
    if user is not None:
        _show_user(store, plan, columns, record, user, console)


def _show_user(
    store: Store, plan: dict[str, Any], columns: dict[str, Any], record: dict[str, Any], user: str, console: Console
) -> None:
    if record["status"] != "ok":
        raise UserError(f"the cell is {record['status']}: it has no lists", where=record["id"])
    folder = arrays_from_bytes((store.folder / "users.npz").read_bytes())
    role = f"{columns['dataset']}/{columns['split']}"
    ids = folder[f"{role}/user_id"].tolist()
    if user not in ids:
        raise UserError(
            f"no evaluated user '{user}'", where=role, hint=did_you_mean(user, ids) if len(ids) < 50 else ""
        )
    titles = folder[f"{role}/title"]
    number = int(folder[f"{role}/user"][ids.index(user)])
    clean = next((c for c in plan["cells"] if c["attack"] == "none" and all(c[n] == columns[n] for n in _TWIN)), None)
    lists = {}
    for name, cell in (("clean", clean and clean["cell"]), ("this cell", record["id"])):
        found = store.read(cell) if cell else None
        if found is None or found["status"] != "ok":
            continue
        arrays = store.arrays(found)
        row = arrays["users"].tolist().index(number)
        ranks = arrays["ranks"][arrays["indptr"][row] : arrays["indptr"][row + 1]]
        lists[name] = (arrays["top"][row], ranks)
    indptr = folder[f"{role}/held_out_indptr"]
    held = folder[f"{role}/held_out_items"][indptr[number] : indptr[number + 1]].tolist()
    shown = Table("place", *lists, title=f"user {user}: held out {', '.join(titles[held])}", title_justify="left")
    for place in range(10):
        cells = []
        for top, _ in lists.values():
            item = int(top[place])
            cells.append("" if item < 0 else f"{titles[item]}{'  (held out)' if item in held else ''}")
        shown.add_row(str(place + 1), *cells)
    shown.add_row("ranks", *(", ".join(map(str, ranks.tolist())) for _, ranks in lists.values()))
    console.print(shown)
