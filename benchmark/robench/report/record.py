"""One record for people, and a user's list before and after."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from robench.api.errors import UserError, counted, did_you_mean
from robench.store.folder import Store
from robench.store.record import Record
from robench.tables.results import read_plan

_TWIN = ("dataset", "split", "model_label", "defense_label", "lambda", "train_epsilon", "seed")
_HEAD = ("dataset", "split", "model_label", "defense_label", "lambda", "attack_label", "epsilon", "seed")
MOST_MATCHES = 8  # that a message lists
MOST_USERS = 50


@dataclass(frozen=True, eq=False)
class Shown:
    """A record with what its folder knows of it; ``columns`` is empty where plan.json no longer has the cell."""

    store: Store
    plan: dict[str, Any]
    columns: dict[str, Any]
    record: Record

    @property
    def role(self) -> str:
        """Its data set and split in users.npz."""
        return f"{self.columns.get('dataset')}/{self.columns.get('split')}"

    def users(self) -> dict[str, NDArray[Any]]:
        """users.npz; empty where it is missing."""
        return self.store.users()

    def targets(self) -> list[int]:
        """The items that its poisoning promotes, or that a clean cell measures for comparison."""
        if self.record["status"] != "ok":
            return []
        found: list[int] = self.store.arrays(self.record).get("targets", np.empty(0, np.int64)).tolist()
        return found


def show_cell(path: Path, user: str | None, console: Console) -> None:
    """Print a record; with ``user``, that user's held-out ranks and top list in the cell and in its clean cell.

    Args:
        path: ``results/<suite>/cells/<id>.json``, the id or its first digits of a cell below ``results/``, or a
            folder of results, whose cells are then counted.

    Raises:
        UserError: no such record or user, or several records are meant.
    """
    if path.is_dir() and path.name != "cells":
        console.print(summary(path), highlight=False, soft_wrap=True)
        return
    path = find(path)
    store = Store(path.parent.parent)
    record = store.read(path.stem)
    if record is None:
        raise UserError("no such record", where=str(path))
    plan = read_plan(store.folder)
    columns: dict[str, Any] = next((c for c in plan["cells"] if c["cell"] == path.stem), {})
    shown = Shown(store, plan, columns, record)
    if user is None:
        _show_record(shown, console)
    else:
        _show_user(shown, user, console)


def summary(folder: Path) -> str:
    """How many cells a folder of results has, and how to find one."""
    plan, store = read_plan(folder), Store(folder)
    counts: Counter[str] = Counter()
    for columns in plan["cells"]:
        record = store.read(columns["cell"])
        counts["not run" if record is None else str(record["status"])] += 1
    listed = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    hint = f"their ids stand in {folder}/cells.csv; robench show ID (or its first digits) shows one"
    return f"{folder}: {counted(len(plan['cells']), 'cell')} of suite {plan['suite']} ({listed}); {hint}"


def find(path: Path) -> Path:
    """The file of the record that a path or the first digits of an id mean.

    Raises:
        UserError: none, or several.
    """
    if path.is_file():
        if path.parent.name != "cells" or path.suffix != ".json":
            raise UserError("not a record", where=str(path), hint="records are results/<suite>/cells/<id>.json")
        return path
    start = escape(path.name.removesuffix(".json"))
    if path.parent == Path():
        found = sorted(Path("results").glob(f"*/cells/{start}*.json"))
    else:
        found = sorted([*path.parent.glob(f"{start}*.json"), *path.parent.glob(f"cells/{start}*.json")])
        found = [p for p in found if p.parent.name == "cells"]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(map(str, found[:MOST_MATCHES])) + (", …" if len(found) > MOST_MATCHES else "")
        raise UserError(f"{len(found)} records begin so", where=str(path), hint=listed)
    raise UserError("no such record", where=str(path), hint="robench show results/<suite> says where ids are")


def _show_record(shown: Shown, console: Console) -> None:
    record, columns = shown.record, shown.columns
    table = Table("", "", show_header=False, title=f"cell {record['id']}", title_justify="left")
    table.add_row("status", str(record["status"]))
    for name in _HEAD:
        table.add_row(name, str(columns.get(name, "")))
    titles = shown.users().get(f"{shown.role}/title")
    if targets := shown.targets():
        names = [str(item) if titles is None else str(titles[item]) for item in targets]
        table.add_row("targets", "; ".join(names))
    for name in ("metrics", "achieved", "reading", "diagnostics", "fit", "provenance"):
        for key, value in record.get(name, {}).items():
            told = value["value"] if name == "metrics" else value
            table.add_row(f"{name}: {key}", f"{told:.6g}" if isinstance(told, float) else str(told))
    for row in record.get("titles", []):
        alike = f", similarity {row['similarity']:.2f}" if "similarity" in row else ""
        told = f"{row['before']}\n→ {visible(row['after'])} ({row['edits']} edits{alike})"
        table.add_row(f"title of item {row['item']}", told)
    if record.get("reason"):
        table.add_row("reason", record["reason"])
    console.print(table)
    if record.get("error"):
        console.print(record["error"]["traceback"] or record["error"]["message"], highlight=False, markup=False)


def visible(title: str) -> str:
    """A title with its invisible and look-alike characters named: ``He‹U+200B›at``."""
    return "".join(char if char.isascii() and char.isprintable() else f"{_mark(char)}" for char in title)


def _mark(char: str) -> str:
    """Letters with accents and the like as they are, with their number where they could pass for another."""
    plain = unicodedata.normalize("NFKD", char)[0].isascii() and char.isprintable()
    return char if plain else f"{char if char.isprintable() else ''}‹U+{ord(char):04X}›"


def _show_user(shown: Shown, user: str, console: Console) -> None:
    store, columns, record, role = shown.store, shown.columns, shown.record, shown.role
    if record["status"] != "ok":
        raise UserError(f"the cell is {record['status']}: it has no lists", where=record["id"])
    folder = shown.users()
    if f"{role}/user_id" not in folder:
        raise UserError("users.npz does not know the users of this cell", where=str(store.folder))
    ids = folder[f"{role}/user_id"].tolist()
    if user not in ids:
        hint = did_you_mean(user, ids) if len(ids) < MOST_USERS else ""
        raise UserError(f"no evaluated user '{user}'", where=role, hint=hint)
    titles = folder[f"{role}/title"]
    number = int(folder[f"{role}/user"][ids.index(user)])
    cells = shown.plan["cells"]
    clean = next((c for c in cells if c["attack"] == "none" and all(c[n] == columns[n] for n in _TWIN)), None)
    lists = {}
    for name, cell in (("clean", clean and clean["cell"]), (f"{columns['attack_label']}, this cell", record["id"])):
        found = store.read(cell) if cell else None
        if found is None or found["status"] != "ok" or (name != "clean" and clean and cell == clean["cell"]):
            continue
        arrays = store.arrays(found)
        row = arrays["users"].tolist().index(number)
        ranks = arrays["ranks"][arrays["indptr"][row] : arrays["indptr"][row + 1]]
        lists[name] = (arrays["top"][row], ranks, _target_ranks(arrays, row))
    indptr = folder[f"{role}/held_out_indptr"]
    held = folder[f"{role}/held_out_items"][indptr[number] : indptr[number + 1]].tolist()
    marks = {**dict.fromkeys(shown.targets(), "  (target)"), **dict.fromkeys(held, "  (held out)")}
    title = f"user {user}, cell {record['id']}: held out {', '.join(titles[held])}"
    table = Table("place", *lists, title=title, title_justify="left")
    for place in range(10):
        tops = (int(top[place]) for top, *_ in lists.values())
        table.add_row(str(place + 1), *("" if i < 0 else f"{titles[i]}{marks.get(i, '')}" for i in tops))
    table.add_row("ranks of held out", *(", ".join(map(str, ranks.tolist())) for _, ranks, _ in lists.values()))
    for target in shown.targets():
        seen = (found.get(target) for *_, found in lists.values())
        told = ("–" if rank is None else str(rank) if rank else "in their data" for rank in seen)
        table.add_row(f"rank of {titles[target]} (target)", *told)
    console.print(table)
    arrays = store.arrays(record)
    for line in [*_fate(shown, arrays, number), *_edits(arrays.get("script"), number, titles)]:
        console.print(line, highlight=False, soft_wrap=True)


def _target_ranks(arrays: dict[str, NDArray[Any]], row: int) -> dict[int, int]:
    """The rank of every target in a user's list; 0 where it is in their data."""
    if "target_ranks" not in arrays:
        return {}
    return dict(zip(arrays["targets"].tolist(), arrays["target_ranks"][:, row].tolist(), strict=True))


def _fate(shown: Shown, arrays: dict[str, NDArray[Any]], user: int) -> list[str]:
    """Why an attack at test time left a user alone, or had nothing to reach; which member of an ensemble reached it."""
    columns = shown.columns
    if columns["stage"] != "test" or "hit" not in arrays:
        return []
    row = arrays["users"].tolist().index(user)
    k, within = columns["k"], f"within ε = {columns['epsilon']:g}"
    still = "; left alone" if "spent" in arrays and not arrays["spent"][row] else ""
    told = ""
    if columns["goal"] == "promote" and not any(_target_ranks(arrays, row).values()):
        told = "nothing to promote: every target is in this user's data already"
    elif columns["goal"] == "promote" and not arrays["hit"][row]:
        told = f"nothing to reach: every target that this user lacks was in the clean top {k} already"
    elif not arrays["hit"][row]:
        told = f"nothing to break: no held-out item was in the clean top {k}"
    elif "first" in arrays and arrays["first"][row] >= 0:
        told = f"the goal was reached first by {shown.record['members'][int(arrays['first'][row])]['name']}"
    elif "radius" in arrays and still:
        radius = float(arrays["radius"][row])
        found = (
            f"the shortest that breaks has ε = {radius:.4g}" if np.isfinite(radius) else "none that breaks was found"
        )
        told = f"no perturbation {within} breaks this user: {found}"
    elif still:
        told = f"nothing that was tried {within} did harm"
    return [f"{told}{still}"] if told else []


def _edits(script: NDArray[np.int64] | None, user: int, titles: NDArray[Any]) -> list[str]:
    """What was edited in a user's history, in words."""
    if script is None:
        return []
    found = []
    for _, place, out, new in script[script[:, 0] == user].tolist():
        if out < 0:
            found.append(f"{titles[new]} inserted as item {place + 1} of the history")
        elif new < 0:
            found.append(f"{titles[out]}, item {place + 1} of the history, deleted")
        else:
            found.append(f"{titles[out]}, item {place + 1} of the history, replaced by {titles[new]}")
    return found or ["the history was left as it is"]
