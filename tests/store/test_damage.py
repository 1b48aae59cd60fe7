"""Tests records and plans that are damaged or come from another program.

One line of output names the file. The cell of a damaged record counts as missing.
"""

import json
import shutil

import pytest
from tests.fakes import EMBEDDING, L2, METRICS, World, paths, ranks

from robench.api.errors import UserError
from robench.store.folder import Store
from robench.store.plan_file import read_plan
from robench.store.record import to_text
from robench.store.seal import seal
from robench.tables.build import build_tables
from robench.tables.results import read_results


@pytest.fixture
def folder(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for weight in (1.0, 0.5):
        world.cell(ranks(150, 99), weight=weight)
        world.cell(ranks(100, 99), weight=weight, attack="pgd", epsilon=0.05)
    world.build()
    return world.store.folder


def text(change):
    """Returns a function that applies ``change`` to the bytes of a file."""
    return lambda path: path.write_bytes(change(path.read_bytes()))


def edited(change, *, sealed=True):
    """Returns a function that applies ``change`` to the JSON object in a file.

    The function also seals the file again if ``sealed`` is true.
    """

    def damage(path):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(to_text(seal(content) if sealed else content))

    return damage


def replaced_by_folder(path):
    path.unlink()
    path.mkdir()


def linked_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


ANY = {
    "empty": (text(lambda content: b""), "not JSON"),
    "half": (text(lambda content: content[: len(content) // 2]), "not JSON"),
    "UTF-16": (text(lambda content: content.decode().encode("utf-16")), "not UTF-8"),
    "mark": (text(lambda content: b"\xef\xbb\xbf" + content), "not JSON"),
    "deep": (text(lambda content: b"[" * 100_000), "nested too deeply"),
    "digits": (text(lambda content: content.replace(b'"seed": 0', b'"seed": ' + b"1" * 5000)), "too many digits"),
    "NaN": (text(lambda content: content.replace(b'"seed": 0', b'"seed": NaN')), "NaN is not a number"),
    "huge": (text(lambda content: content.replace(b'"seed": 0', b'"seed": 1e999')), "not finite"),
    "twice": (text(lambda content: content.replace(b"{", b'{"id": 1, "id": 2,', 1)), "'id' occurs twice"),
    "half a character": (text(lambda content: content.replace(b'"mf"', b'"\\ud800"')), "half a character"),
    "a list": (text(lambda content: b"[]"), "not a"),
    "a folder": (replaced_by_folder, "a folder, where a file belongs"),
    "a loop": (linked_to_itself, "cannot be read"),
    "unsealed": (edited(lambda content: content.update(more=1), sealed=False), "sha256 differs"),
}
RECORD = {
    "no spec": (edited(lambda record: record.pop("spec")), "'ok.spec': Field required"),
    "other spec": (edited(lambda record: record["spec"].update(epsilon=1.0)), "not the digest of its spec"),
    "other victim": (edited(lambda record: record.update(victim="0" * 16)), "not the digest of its spec"),
    "other id": (edited(lambda record: record.update(id="0" * 16)), "the record of another cell"),
    "no status": (edited(lambda record: record.update(status="fine")), "not a record"),
    "a text": (edited(lambda record: record["achieved"].update(epsilon="1")), "'ok.achieved.epsilon'"),
    "a path": (edited(lambda record: record.update(id="../../../etc/passwd")), "not a record"),
}


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(("damage", "said"), [*ANY.values(), *RECORD.values()], ids=[*ANY, *RECORD])
def test_a_damaged_record_is_a_line_and_its_cell_is_missing(folder, damage, said):
    path = paths(folder)[1]
    damage(path)
    with pytest.raises(UserError, match=said) as caught:
        Store(folder).read(path.stem)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    results = read_results(folder, METRICS)
    assert [results.status(cell) for cell in results.cells] == ["ok", "missing", "ok", "ok"]
    assert {cell: str(error) for cell, error in results.damaged.items()} == {path.stem: str(caught.value)}


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(("damage", "said"), ANY.values(), ids=ANY)
def test_a_damaged_plan_is_a_line(folder, damage, said):
    damage(folder / "plan.json")
    with pytest.raises(UserError, match=said) as caught:
        read_plan(folder)
    assert str(folder / "plan.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_copy_of_another_record_is_not_believed(folder):
    clean, attacked = paths(folder)[:2]
    for end in (".json", ".npz"):
        shutil.copy(clean.with_suffix(end), attacked.with_suffix(end))
    tables = build_tables(folder, METRICS)
    assert dict(tables.counts) == {"ok": 3, "missing": 1}
    assert [f"the record of another cell: {clean.stem}" in str(error) for error in tables.damaged] == [True]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda cells: cells[3].update({"lambda": 0.75}), "has lambda 0.75 here, and 0.5 in its record"),
        (lambda cells: cells[1].update(epsilon=0.01), "has epsilon 0.01 here, and 0.05 in its record"),
        (lambda cells: cells[1].update(cell=cells[3]["cell"]) or cells.pop(3), "has victim"),
        (lambda cells: cells[1].update(cell=cells[0]["cell"]) or cells.pop(0), "has attack 'pgd' here, and 'none'"),
        (lambda cells: cells[2].update(seed=7), "has seed 7 here"),
        (lambda cells: cells[2].update(model="other"), "has model 'other' here"),
        (lambda cells: cells[1].update({**L2, "surface": ""}), "half a threat model"),
        (lambda cells: cells.append(cells[0]), "stands in it 2 times"),
        (lambda cells: cells[0].update(cell="../../../etc/passwd"), "not a plan"),
        (lambda cells: cells[3].update(attack="cw", attack_label="pgd"), "has attack 'cw'"),
    ],
)
def test_an_edited_plan_contradicts_its_records_even_if_it_is_sealed_again(folder, change, said):
    edited(lambda plan: change(plan["cells"]))(folder / "plan.json")
    with pytest.raises(UserError, match=said) as caught:
        build_tables(folder, METRICS)
    assert str(folder / "plan.json") in str(caught.value)


def test_a_plan_without_a_seal_says_what_to_do(folder):
    edited(lambda plan: plan.pop("sha256"), sealed=False)(folder / "plan.json")
    with pytest.raises(UserError, match=r"a plan without a seal.*robench run SUITE writes it anew"):
        read_plan(folder)
