"""Defines the kinds of damage that ``tools.faults.damage`` tries."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robench.store.record import to_text
from robench.store.seal import seal

Damage = Callable[[Path, str], None]
Change = Callable[[Any], Any]


def of(end: str, change: Callable[[Path], None]) -> Damage:
    """Returns a function that applies ``change`` to a file of a results folder.

    ``end`` is the name of the file, or the ending ``.json`` or ``.npz`` of the cell's file.
    """
    return lambda folder, cell: change(folder / "cells" / f"{cell}{end}" if end[0] == "." else folder / end)


def content(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Returns a function that applies ``change`` to the bytes of a file."""

    def damage(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return damage


def value(change: Change, *, sealed: bool = True) -> Callable[[Path], None]:
    """Returns a function that applies ``change`` to the JSON object in a file.

    The file is sealed again if ``sealed`` is true.
    """

    def damage(path: Path) -> None:
        whole = json.loads(path.read_text())
        change(whole)
        path.write_text(to_text(seal(whole) if sealed else whole))

    return damage


def a_folder(path: Path) -> None:
    """Replaces a file with a folder."""
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    """Replaces a file with a pipe."""
    path.unlink()
    os.mkfifo(path)


def a_loop(path: Path) -> None:
    """Replaces a file with a link to itself."""
    path.unlink()
    path.symlink_to(path.name)


def flip(share: float) -> Callable[[bytes], bytes]:
    """Returns a function that flips one bit, at the given share of the file's length."""

    def change(whole: bytes) -> bytes:
        at = min(int(len(whole) * share), len(whole) - 1)
        return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]

    return change


def cut(share: float) -> Callable[[bytes], bytes]:
    """Returns a function that keeps only a share of the bytes, from the start."""
    return lambda whole: whole[: int(len(whole) * share)]


def npz(**arrays: Any) -> bytes:
    """Returns the bytes of an npz file.

    The file is compressed if one of the arrays is named ``bomb``.
    """
    buffer = io.BytesIO()
    (np.savez_compressed if "bomb" in arrays else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def rearranged(change: Callable[[dict[str, Any]], Any]) -> Damage:
    """Returns a function that applies ``change`` to the arrays of a cell.

    The record of the cell gets the new digest of the arrays, and is sealed again.
    """

    def damage(folder: Path, cell: str) -> None:
        import hashlib  # noqa: PLC0415  # only here

        path = folder / "cells" / f"{cell}.npz"
        with np.load(path) as file:
            arrays = dict(file)
        change(arrays)
        np.savez(path, **arrays)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        value(lambda record: record.update(arrays_sha256=digest))(path.with_suffix(".json"))

    return damage


def copied(end: str) -> Damage:
    """Returns a function that overwrites a file of a cell with another cell's file."""

    def damage(folder: Path, cell: str) -> None:
        other = next(path for path in sorted((folder / "cells").glob(f"*{end}")) if path.stem != cell)
        shutil.copy(other, folder / "cells" / f"{cell}{end}")

    return damage


def swap_ids(plan: Any) -> None:
    """Swaps the ids of two cells in a plan."""
    cells = [cell for cell in plan["cells"] if cell["attack"] == "fgsm" and cell["status"] == "planned"]
    cells[0]["cell"], cells[1]["cell"] = cells[1]["cell"], cells[0]["cell"]


def rows(name: str, new: Any) -> Change:
    """Returns a function that changes the first planned ``fgsm`` cell of a plan.

    The entry ``name`` of the cell gets the value ``new``.
    """
    return lambda plan: next(c for c in plan["cells"] if c["attack"] == "fgsm" and c["status"] == "planned").update(
        {name: new}
    )


BYTES = {
    "empty": lambda b: b"",
    **{f"cut at {n}0%": cut(n / 10) for n in range(1, 10)},
    "a bit": flip(0.5),
    "zeros": lambda b: bytes(len(b)),
    "brackets": lambda b: b"[" * 100_000,
    "objects": lambda b: b'{"a":' * 100_000,
    "digits": lambda b: b.replace(b'"seed": 0', b'"seed": ' + b"1" * 5000),
    "NaN": lambda b: b.replace(b'"seed": 0', b'"seed": NaN'),
    "Infinity": lambda b: b.replace(b'"seed": 0', b'"seed": -Infinity'),
    "1e999": lambda b: b.replace(b'"seed": 0', b'"seed": 1e999'),
    "UTF-16": lambda b: b.decode().encode("utf-16"),
    "BOM": lambda b: b"\xef\xbb\xbf" + b,
    "CRLF": lambda b: b.replace(b"\n", b"\r\n"),
    "twice": lambda b: b.replace(b"{", b'{"format_version": 1,', 1),
    "surrogate": lambda b: b.replace(b'"mf"', b'"\\ud800"').replace(b'"popularity"', b'"\\ud800"'),
    "null": lambda b: b"null",
    "a text": lambda b: b'"record"',
    "gzip": gzip.compress,
}
PLACES = {"a folder": a_folder, "a pipe": a_pipe, "a loop": a_loop, "gone": lambda path: path.unlink()}
RECORD: dict[str, Change] = {
    "no spec": lambda r: r.pop("spec"),
    "no status": lambda r: r.pop("status"),
    "no seal": lambda r: r.pop("sha256"),
    "no provenance": lambda r: r.pop("provenance"),
    "spec is a list": lambda r: r.update(spec=[]),
    "other epsilon": lambda r: r["spec"].update(epsilon=9.0),
    "other victim": lambda r: r.update(victim="0" * 16),
    "other id": lambda r: r.update(id="0" * 16),
    "id is a path": lambda r: r.update(id="../../x"),
    "status is a number": lambda r: r.update(status=1),
    "metrics is a list": lambda r: r.update(metrics=[1]),
    "value is a text": lambda r: r["metrics"].update({"ndcg@10": {"value": "1", "version": 1}}),
    "achieved is null": lambda r: r.update(achieved=None),
    "deep spec": lambda r: r["spec"].update(users=json.loads("[" * 500 + "]" * 500)),
}
PLAN: dict[str, Change] = {
    "lambda": rows("lambda", 0.9),
    "lambda is a text": rows("lambda", "1"),
    "epsilon": rows("epsilon", 0.05),
    "negative epsilon": rows("epsilon", -1.0),
    "seed": rows("seed", 7),
    "huge seed": rows("seed", 10**400),
    "swapped ids": swap_ids,
    "a cell twice": lambda p: p["cells"].append(p["cells"][0]),
    "an id is a path": rows("cell", "../../x"),
    "model": rows("model", "popularity"),
    "unknown surface": rows("surface", "air"),
    "no cells": lambda p: p.pop("cells"),
    "cells is an object": lambda p: p.update(cells={}),
    "cell is null": lambda p: p.update(cells=[None]),
    "targets": lambda p: p["targets"].update(count=1),
    "unknown metric": lambda p: p.update(metrics=["nothing@10"]),
    "no metric": lambda p: p.update(metrics=["@"]),
    "label": rows("attack_label", "other"),
    "dropped cells": lambda p: p.update(cells=p["cells"][:-2]),
    "ranking": lambda p: p["ranking"][0].update(epsilon=0.1),
}
ARRAYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no ranks": lambda a: a.pop("ranks"),
    "ranks of 0": lambda a: a.update(ranks=a["ranks"] * 0),
    "ranks as floats": lambda a: a.update(ranks=a["ranks"] * 0.5),
    "too few ranks": lambda a: a.update(ranks=a["ranks"][:-1]),
    "indptr falls": lambda a: a.update(indptr=a["indptr"][::-1].copy()),
    "indptr from 1": lambda a: a.update(indptr=a["indptr"] + 1),
    "unknown items": lambda a: a.update(top=a["top"] + 1000),
    "other users": lambda a: a.update(users=a["users"][::-1].copy()),
}
JSON_FILES = (".json", "plan.json")
FOLDER_DAMAGES: list[tuple[str, Damage]] = [
    *((f"{end}: {name}", of(end, content(change))) for end in JSON_FILES for name, change in BYTES.items()),
    *((f"{end}: {name}", of(end, c)) for end in (*JSON_FILES, ".npz", "users.npz") for name, c in PLACES.items()),
    *((f"record: {name}", of(".json", value(change, sealed=name != "no seal"))) for name, change in RECORD.items()),
    *((f"plan: {name}", of("plan.json", value(change))) for name, change in PLAN.items()),
    *((f"plan, not sealed: {name}", of("plan.json", value(change, sealed=False))) for name, change in PLAN.items()),
    *((f"arrays: {name}", rearranged(change)) for name, change in ARRAYS.items()),
    *(
        (f"{end}: {name}", of(end, content(change)))
        for end in (".npz", "users.npz")
        for name, change in {
            "empty": lambda b: b"",
            "half": lambda b: b[: len(b) // 2],
            "a bit": flip(0.5),
            "no arrays": lambda b: npz(),
            "a bomb": lambda b: npz(bomb=np.zeros(1 << 27)),
            "objects": lambda b: npz(ranks=np.array([{}], dtype=object)),
        }.items()
    ),
    ("another record", copied(".json")),
    ("another's arrays", copied(".npz")),
    ("both of another", lambda f, c: (copied(".json")(f, c), copied(".npz")(f, c))),
    ("suite.yaml gone", of("suite.yaml", lambda path: path.unlink())),
]
LEFT_TO_VERIFY = {"plan: label", "plan: dropped cells", "plan: ranking", ".npz: gone", ".json: CRLF", "plan.json: CRLF"}

# Forged and sealed again: the tables leave the cell out, and a run does not measure the cell again.
UNREPAIRED = {"arrays: unknown items", "arrays: other users"}


def mutations(rng: random.Random, count: int) -> Iterator[tuple[str, Damage, bool]]:
    """Yields random changes of records and plans.

    Yields:
        The name of the change, a function that makes the change, and whether the changed file is sealed again. Reading
        a sealed file does not always reveal the change.
    """
    for number in range(count):
        end, how = rng.choice(JSON_FILES), rng.choice(("bytes", "value", "sealed"))
        seed = rng.random()
        if how == "bytes":
            yield f"{number} {end} {how}", of(end, content(lambda b, s=seed: scrambled(b, random.Random(s)))), False
        else:
            change = value(lambda v, s=seed: mutate(v, random.Random(s)), sealed=how == "sealed")
            yield f"{number} {end} {how}", of(end, change), how == "sealed"


def scrambled(whole: bytes, rng: random.Random) -> bytes:
    """Returns a copy of the bytes with a few changes."""
    changed = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def mutate(whole: Any, rng: random.Random) -> None:
    """Changes one value somewhere inside a JSON object."""
    while True:
        keys = list(whole) if isinstance(whole, dict) else range(len(whole))
        key = rng.choice(list(keys))
        if isinstance(whole[key], dict | list) and whole[key] and rng.random() < 0.9:
            whole = whole[key]
            continue
        options = (None, 0, -1, 1.5, 1e300, 10**30, "", "x", "../x", "\x1b[31m", [], {}, [[]], True)
        whole[key] = rng.choice(options)
        return


def entries(cache: Path, kind: str) -> list[Path]:
    """Returns the files of one kind in the cache, without lock files."""
    return sorted(path for path in (cache / kind).rglob("*") if path.is_file() and path.suffix != ".lock")


def each(kind: str, end: str, change: Callable[[Path], None]) -> Callable[[Path], None]:
    """Returns a function that applies ``change`` to a file of one kind in the cache.

    The file is the first one with the ending ``end``.
    """
    return lambda cache: change(next(path for path in entries(cache, kind) if path.suffix == end))


def swapped(cache: Path) -> None:
    """Overwrites a checkpoint with another checkpoint."""
    one, two, *_ = entries(cache, "checkpoints")
    shutil.copy(one, two)


def stored(path: Path) -> None:
    """Changes the test items in a file of prepared data."""
    with np.load(path) as file:
        arrays = dict(file)
    arrays["test_items"] = np.roll(arrays["test_items"], 1)
    np.savez(path, **arrays)


def inflated(path: Path) -> None:
    """Replaces prepared data with a compressed file that inflates to 16 MiB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", bytes(1 << 24))


HOW = {
    "a bit": content(flip(0.9)),
    "a bit in front": content(flip(0.05)),
    "empty": content(lambda b: b""),
    "half": content(lambda b: b[: len(b) // 2]),
    "a folder": a_folder,
    "a pipe": a_pipe,
    "brackets": content(lambda b: b"[" * 100_000),
}
CACHE_DAMAGES: list[tuple[str, Callable[[Path], None]]] = [
    *(
        (f"{kind}{end}: {name}", each(kind, end, change))
        for kind, end in (("checkpoints", ".safetensors"), ("profiles", ".safetensors"), ("data", ".npz"))
        for name, change in HOW.items()
    ),
    ("data.json: half", each("data", ".json", HOW["half"])),
    ("data.json: brackets", each("data", ".json", HOW["brackets"])),
    ("data.json: gone", each("data", ".json", lambda path: path.unlink())),
    ("data: edited", each("data", ".npz", stored)),
    ("data: inflated", each("data", ".npz", inflated)),
    ("checkpoints: swapped", swapped),
]
