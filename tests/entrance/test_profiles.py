"""Tests that fake users of other tools are read, and used by a suite."""

import json

import numpy as np
import pytest

from robench.api import Rng
from robench.api.attacks.poisoning import AttackerView
from robench.api.attacks.profile_file import ProfileFile, read_profile_file
from robench.api.data import Catalogue, Interactions, Item
from robench.api.errors import DataError, UserError
from robench.engine.fit.poisoning import poison
from robench.entrance.profiles import import_profiles
from robench_plugins.attacks.poisoning.imported_profiles import ImportedProfiles

VAT = {"target_items": ["7", "9"], "fake_users": {"fake_user_0": ["1", "7", "7", "2"], "fake_user_1": ["9", "7", "3"]}}
LOREC = {"target_item": [7, 9], "user_data": {"0": [1, 7, 2], "1": [9, 7, 3]}}
ARLIB = "12 1 1.0\n12 7 1.0\nfakeUser943 7 1.0\nfakeUser943 9 1.0\nfakeUser944 9 1\nfakeUser944 3 1\n"


def imported(tmp_path, content, targets=None, name="fakes.json"):
    path, out = tmp_path / name, tmp_path / "out.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    lines = list(import_profiles(path, targets, out))
    return read_profile_file(out), lines


def test_the_files_of_vat_are_read_and_repetitions_are_counted(tmp_path):
    found, lines = imported(tmp_path, VAT)
    assert found == ProfileFile("VAT", ("7", "9"), (("1", "7", "2"), ("9", "7", "3")))
    assert "2 fake users of VAT, with 3 to 3 items" in lines[0]
    assert lines[1] == "left out: 1 repetition of an item within a profile"
    assert lines[2] == "1 profile without some of the 2 targets"
    assert "targets: {items: [7, 9]}" in lines[-1]


def test_the_files_of_lorec_are_read(tmp_path):
    found, _ = imported(tmp_path, LOREC)
    assert found == ProfileFile("LoRec", ("7", "9"), (("1", "7", "2"), ("9", "7", "3")))


@pytest.mark.parametrize(("targets", "wanted"), [(None, ("9",)), ("7,9", ("7", "9")), ("file", ("9", "7"))])
def test_the_fake_users_of_arlib_are_read_and_their_targets_come_from_elsewhere(tmp_path, targets, wanted):
    if targets == "file":
        (tmp_path / "targets.txt").write_text("'9', '7'", "utf-8")
        targets = str(tmp_path / "targets.txt")
    found, _ = imported(tmp_path, ARLIB, targets, "train.txt")
    assert found == ProfileFile("ARLib", wanted, (("7", "9"), ("9", "3")))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{}", "not a file of fake users"),
        ("1 2\n", "train.txt:1: not a user, an item and a rating"),
        ("1 2 3\n", "no fake user"),
        ('{"target_items": [], "fake_users": {"a": []}}', "has no items"),
        ('{"target_items": [], "fake_users": {"a": [1], "b": [2]}}', "no target is known"),
        ('{"target_items": 7, "fake_users": {}}', "must be lists of ids"),
        ("{", "not JSON"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, problem):
    with pytest.raises(UserError) as error:
        imported(tmp_path, content, name="train.txt")
    assert problem in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out.json").exists()


def test_a_missing_file_and_a_missing_folder_are_one_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        list(import_profiles(tmp_path / "none", None, tmp_path / "out.json"))
    (tmp_path / "fakes.json").write_text(json.dumps(VAT))
    with pytest.raises(UserError, match="cannot be written"):
        list(import_profiles(tmp_path / "fakes.json", None, tmp_path / "fakes.json" / "out.json"))


def attack(tmp_path, **content):
    whole = {"robench_profiles": 1, "source": "VAT", "targets": ["b"], "profiles": [["a", "b", "x"], ["b", "c"]]}
    path = tmp_path / "profiles.json"
    path.write_text(json.dumps(whole | content))
    return ImportedProfiles.make(file=str(path))


def poisoned_by(attack, epsilon=0.5, targets=(1,)):
    train = Interactions.from_rows([[0, 2]] * 4, 4)
    catalogue = Catalogue(("a", "b", "c", "d"), (Item(),) * 4)
    made = poison(attack, train, targets=np.array(targets), epsilon=epsilon, rng=Rng(0), catalogue=catalogue)
    return [made.train.row(user).tolist() for user in range(4, made.train.n_users)]


def test_imported_profiles_are_those_of_the_file_up_to_epsilon(tmp_path):
    made = attack(tmp_path)
    assert made.adaptivity() == "frozen"
    assert poisoned_by(made) == [[0, 1], [1, 2]]
    assert poisoned_by(made, epsilon=0.25) == [[0, 1]]
    assert poisoned_by(made, epsilon=1) == [[0, 1], [1, 2]]
    view = AttackerView(Interactions.from_rows([[0]], 2), Catalogue(("a", "b"), (Item(), Item())))
    crafted = made.craft(view, targets=np.array([1]), n_users=2, profile_size=9, rng=Rng(0))
    assert crafted.costs == {"unknown_items": 2}


def test_a_frozen_profile_needs_one_target_of_the_suite_at_least(tmp_path):
    assert poisoned_by(attack(tmp_path), targets=(1, 3)) == [[0, 1], [1, 2]]
    with pytest.raises(DataError, match=r"fake user 0 has no target of the suite \(targets: \{items: \[b\]\}\)"):
        poisoned_by(attack(tmp_path), targets=(3,))


def test_another_content_is_another_digest_and_bad_files_are_refused_before_any_work(tmp_path):
    one = attack(tmp_path).outside()
    assert one != attack(tmp_path, profiles=[["b"]]).outside()
    for content in ({"profiles": [["b", "b"]]}, {"profiles": [[1]]}, {"targets": "b"}, {"robench_profiles": 2}):
        with pytest.raises(DataError):
            attack(tmp_path, **content).outside()
    with pytest.raises(DataError, match="cannot be read"):
        ImportedProfiles.make(file=str(tmp_path / "none")).outside()
