"""Forges submissions with hashes that fit, as a careful forger would."""

import json

import numpy as np

from robench.store.archive import ARRAYS, MANIFEST, RECORDS, hash_file, hash_manifest, write_archive
from robench.store.folder import Store
from robench.store.seal import seal


def seal_again(folder):
    """Writes hashes that fit the files of a submission."""
    path = folder / "MANIFEST.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = {name: hash_file(folder / name) for name in manifest["files"]}
    manifest["root"] = hash_manifest(manifest)
    path.write_text(json.dumps(manifest))
    details = json.loads((folder / "SUBMISSION.json").read_text())
    (folder / "SUBMISSION.json").write_text(json.dumps(seal({**details, "root": manifest["root"]})))


def change_details(folder, **changes):
    details = json.loads((folder / "SUBMISSION.json").read_text())
    (folder / "SUBMISSION.json").write_text(json.dumps(seal({**details, **changes})))


def forge(folder, change):
    """Changes the records and the arrays of a submission, and writes all hashes anew.

    Args:
        folder: The folder of the submission.
        change: A function of the records and the arrays, both by the id of the cell, which it may change.
    """
    store = Store(folder)
    records = {cell: json.loads(json.dumps(store.read(cell))) for cell in store.ids()}
    measured = [cell for cell in records if records[cell]["status"] == "ok"]
    arrays = {cell: dict(store.arrays(records[cell])) if cell in measured else {} for cell in records}
    users, manifest = store.users(), json.loads((folder / MANIFEST).read_text())
    change(records, arrays)
    names = [name for name in manifest["files"] if name not in (RECORDS, ARRAYS)]
    sealed = {cell: seal(record) for cell, record in records.items()}
    write_archive(folder, sealed, lambda cell: arrays[cell], users, names, manifest["versions"])
    seal_again(folder)


def attacked(records):
    """Returns the ids of the attacked cells, which differ in ε alone."""
    return sorted(cell for cell, record in records.items() if record["status"] == "ok" and record["spec"]["attack"])


def copy_record(records, arrays):
    one, two = attacked(records)
    records[two], arrays[two] = records[one], arrays[one]


def copy_record_with_its_name(records, arrays):
    one, two = attacked(records)
    records[two], arrays[two] = {**records[one], "id": two}, arrays[one]


def replace_array(name, value):
    def change(records, arrays):
        cell = attacked(records)[0]
        arrays[cell][name] = np.where(np.arange(len(arrays[cell][name])) == 1, value, arrays[cell][name])

    return change


def replace_processor(value):
    def change(records, _):
        for record in records.values():
            if record["status"] == "ok":
                record["provenance"]["processor"] = value

    return change


def remove_processor(records, _):
    for record in records.values():
        record.get("provenance", {}).pop("processor", None)
