"""Tests how plan.json is read.

The tests include plans of other versions, and files that hold no plan.
"""

import json

import pytest
from tests.fakes import EMBEDDING, World

from robench.api.codec import encode
from robench.api.errors import UserError
from robench.api.metric import Measure
from robench.api.threat import Threat
from robench.store.plan_file import read_plan
from robench.store.seal import seal


@pytest.fixture
def folder(tmp_path):
    world = World(tmp_path, [EMBEDDING])
    world.cell([1] * 200)
    world.cell([1] * 200, attack="pgd", epsilon=0.05)
    world.build()
    return tmp_path


def edit(folder, change):
    path = folder / "plan.json"
    plan = json.loads(path.read_text())
    change(plan)
    path.write_text(json.dumps(seal(plan)))


def test_a_plan_is_read_with_its_tables_and_cells(folder):
    plan = read_plan(folder)
    (table,) = plan.ranking
    assert (table.threat, table.metric, table.epsilon) == (Threat("embedding", "test", "l2"), Measure("ndcg", 10), 0.05)
    clean, attacked = plan.cells
    assert (clean.clean, clean.threat, attacked.clean, attacked.threat) == (True, None, False, table.threat)
    assert attacked.key.lambda_ == 1


def test_a_plan_is_written_as_it_was_read(folder):
    assert encode(read_plan(folder)) == {
        k: v for k, v in json.loads((folder / "plan.json").read_text()).items() if k != "sha256"
    }


def test_plans_of_before_some_columns_and_of_after_others_are_read(folder):
    def change(plan):
        for cell in plan["cells"]:
            del cell["kind"], cell["target_set"], cell["reason"]
            cell["later"] = 1

    edit(folder, change)
    cells = read_plan(folder).cells
    assert {(cell.kind, cell.target_set, cell.reason, cell.baseline, cell.standard) for cell in cells} == {
        ("", None, "", False, False)
    }


def test_the_roles_that_a_plan_notes_are_read(folder):
    edit(folder, lambda plan: plan["cells"][1].update(baseline=True, standard=True))
    clean, attacked = read_plan(folder).cells
    assert (clean.baseline, attacked.baseline, attacked.standard) == (False, True, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plan: plan.update(format_version=2), "not a plan of format 1"),
        (lambda plan: plan.pop("cells"), "not a plan: 'cells': Field required"),
        (lambda plan: plan["cells"][1].pop("seed"), "not a plan: 'cells\\[1\\].seed': Field required"),
        (
            lambda plan: plan["cells"][1].update(epsilon="0.05"),
            "not a plan: 'cells\\[1\\].epsilon': Input should be a valid number",
        ),
        (
            lambda plan: plan["ranking"][0].update(surface="air"),
            "not a plan: 'ranking\\[0\\].surface': Input should be",
        ),
    ],
)
def test_what_is_no_plan_is_refused_with_the_reason(folder, change, said):
    edit(folder, change)
    with pytest.raises(UserError, match=said) as caught:
        read_plan(folder)
    assert str(folder / "plan.json") in str(caught.value)
