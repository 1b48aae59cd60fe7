"""Tests the limits of a suite and of its entries.

The tests cover how limits are written and which limits are refused. Limits do not affect ids.
"""

import pytest

from robench.api.errors import UserErrors
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.run.limits import strictest
from robench.suite.load import load_suite

SUITE = """name: t
datasets: [{{name: synthetic, users: 40, items: 30}}]
models:
  - {{name: popularity{model}}}
attacks:
  - {{name: bandwagon, epsilon: 0.1{attack}}}
targets: {{count: 1}}
{suite}
"""


@pytest.fixture
def load(tmp_path):
    registry = Registry.of(Host.discover())

    def load(**parts):
        path = tmp_path / "t.yaml"
        path.write_text(SUITE.format(**({"model": "", "attack": "", "suite": ""} | parts)))
        suite = load_suite(path, registry)
        return suite, make_plan(suite, registry).cells, registry

    return load


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4 GiB", 4 << 30),
        ("500 MB", 500_000_000),
        ("1.5kib", 1536),
        ("7 B", 7),
        ("123456", 123456),
        ("'9 tb'", 9 * 10**12),
    ],
)
def test_memory_is_a_size_or_a_number_of_bytes(load, text, size):
    assert load(suite=f"limits: {{memory: {text}}}")[0].limits == {"memory": size}


@pytest.mark.parametrize("text", ["4 G", "much", "true", "-1", "0", "1.5", "4 GiB more", "[1]"])
def test_other_memory_is_refused_with_its_line(load, text):
    with pytest.raises(UserErrors, match=r"t.yaml:8: limits.memory: must be") as error:
        load(suite=f"limits: {{memory: {text}}}")
    assert len(error.value.errors) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{seconds: 0}", r"t.yaml:4: models\[0\].limits.seconds: must be greater than 0"),
        ("{second: 1}", r"t.yaml:4: models\[0\].limits.second: unknown key 'second' \(did you mean 'seconds'"),
        ("3", r"t.yaml:4: models\[0\].limits: must be"),
    ],
)
def test_limits_of_an_entry_are_checked(load, text, problem):
    with pytest.raises(UserErrors, match=problem):
        load(model=f", limits: {text}")


def test_the_stricter_limit_counts_for_a_victim(load):
    given = {
        "suite": "limits: {seconds: 100, memory: 1 GiB}",
        "model": ", limits: {memory: 2 GiB, seconds: 50}",
        "attack": ", limits: {seconds: 9}",
    }
    suite, cells, _ = load(**given)
    by_poison = {cell.victim.poison is not None: strictest(suite.limits, [cell]) for cell in cells}
    assert by_poison == {False: {"seconds": 50, "memory": 1 << 30}, True: {"seconds": 9, "memory": 1 << 30}}


def test_limits_change_no_id_and_stay_in_the_stored_suite(load):
    before = [cell.id for cell in load()[1]]
    suite, cells, registry = load(suite="limits: {seconds: 3}", model=", limits: {memory: 1 MB}")
    assert [cell.id for cell in cells] == before
    stored = suite.resolved(registry)
    assert stored["limits"] == {"seconds": 3.0}
    assert stored["models"][0]["limits"] == {"memory": 1_000_000}
