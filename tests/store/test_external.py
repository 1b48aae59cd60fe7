"""Tests that the files of an external attack belong together."""

import hashlib
import json

import pytest
from tests.store.external import make_artefact, outcome, write

from robench.api.errors import UserError
from robench.store.external import read_external
from robench.store.npz import arrays_to_bytes
from robench.store.seal import seal


@pytest.fixture
def stored(tmp_path):
    """Returns the artefact and the path of its record."""
    artefact = make_artefact()
    write(tmp_path, artefact, outcome())
    return artefact, tmp_path / "attacks" / f"{artefact.id}.json"


def change(path, **values):
    """Changes a record and seals it again, as a careful forger would."""
    path.write_text(json.dumps(seal({**json.loads(path.read_text("utf-8")), **values})), "utf-8")


def refused(path, problem):
    with pytest.raises(UserError, match=problem):
        read_external(path.parents[1], path.stem)


def test_what_was_written_is_read(stored):
    artefact, path = stored
    attack = read_external(path.parents[1], artefact.id)
    assert (attack.id, attack.cell) == (artefact.id, artefact.cell)
    assert attack.arrays["ranks"].tolist() == outcome()["ranks"].tolist()


def test_other_arrays_in_order_are_found_by_their_hash(stored):
    _, path = stored
    path.with_suffix(".outcome.npz").write_bytes(arrays_to_bytes(outcome(rank=90)))
    refused(path, "outcome.npz: it was changed after it was written")


def test_a_record_does_not_pass_to_another_artefact(stored):
    _, path = stored
    other = make_artefact(shift=0.1).content
    path.with_suffix(".npz").write_bytes(other)
    change(path, artefact_sha256=hashlib.sha256(other).hexdigest())
    refused(path, "its id is not that of its artefact")


@pytest.mark.parametrize(
    ("name", "value"), [("author", "Bob"), ("cell", "e" * 16), ("victim", "e" * 16), ("surface", "text")]
)
def test_a_record_says_what_its_artefact_says(stored, name, value):
    _, path = stored
    change(path, **{name: value})
    refused(path, f"its {name} is not that of its artefact")
