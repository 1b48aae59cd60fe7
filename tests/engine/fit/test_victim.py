"""Tests the order of the steps that make a victim.

The data are poisoned and cleaned, and the model is fitted, before the test items are released.
"""

import numpy as np
import pytest
import torch

from robench.api import (
    BaseConfig,
    Cleaned,
    Defense,
    PluginError,
)
from robench.api.errors import SealedError
from robench.engine.data.prepared import Prepared
from robench.engine.fit.victim import VictimFit
from robench.files.cache import Cache, read_entry
from robench.spec import Part, Poison, TargetChoice, Victim
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd
from robench_plugins.attacks.poisoning.bandwagon import Bandwagon
from robench_plugins.defenses.privacy.dp_gram import DpGram
from robench_plugins.models.popularity import Popularity


def victim_fit(cache, *, model=ReferencePairwise, defense=None, attack=None, epsilon=0.1, seed=0, epochs=2):
    data, test = crowd(n_users=40)
    prepared = Prepared(data.train, data.validation, test, data.catalogue, tuple(map(str, range(40))))
    part = Part("x", {}, "x")
    chosen = None if attack is None else Poison(part, epsilon, 0)
    victim = Victim(part, part, Part("m", {"epochs": epochs}, "m"), part, seed, 1, TargetChoice(), chosen)
    return VictimFit(
        victim,
        prepared.train_data(),
        prepared.held_out(),
        "sha",
        np.array([3, 8]),
        model,
        defense or Defense(),
        attack,
        Cache(cache),
        torch.device("cpu"),
    )


class Forgetful(Popularity):
    """A model that stores only half of each count."""

    class Config(BaseConfig):
        epochs: int = 2

    def state(self):
        return {"counts": self.counts // 2}


class Lost(Forgetful):
    """A model that stores nothing."""

    def state(self):
        return {}


def test_what_a_plugin_keeps_is_what_is_measured_from_the_first_run_on(tmp_path):
    first = victim_fit(tmp_path, model=Forgetful).fit().model
    second = victim_fit(tmp_path, model=Forgetful).fit().model
    np.testing.assert_array_equal(first.counts, second.counts)
    assert first.counts.max() < crowd(n_users=40)[0].train.counts().max()


class Peeking(Forgetful):
    """A model that counts the interactions again when it is restored."""

    learns_gram = True

    def state(self):
        return {"counts": self.counts}

    def restore(self, data, state, rng):
        self.counts = (data.train.counts() + data.validation.counts()).astype(np.float32)


@pytest.mark.parametrize("fits", [1, 2])
def test_a_private_model_sees_no_interaction_when_it_is_restored(tmp_path, fits):
    private = DpGram.make(delta=1e-3)
    for _ in range(fits):
        assert victim_fit(tmp_path, model=Peeking, defense=private).fit().model.counts.sum() == 0
    assert victim_fit(tmp_path, model=Peeking).fit().model.counts.sum() > 0


class CleaningDpGram(DpGram):
    """A defence that reads the data before it adds noise."""

    def sanitise(self, train, rng):
        return Cleaned(train.without_users(np.arange(train.n_users) == 0), np.arange(train.n_users))


def test_a_guarantee_does_not_cover_the_cleaning_of_the_data(tmp_path):
    plain, cleaned = (
        victim_fit(tmp_path, model=Peeking, defense=cls.make(delta=1e-3)).fit().report["privacy"]["not_covered"]
        for cls in (DpGram, CleaningDpGram)
    )
    assert (plain, cleaned) == ([], ["which interactions remain after the cleaning"])


def test_a_state_that_a_plugin_does_not_take_back_is_its_own_mistake_at_once(tmp_path):
    for _ in range(2):
        with pytest.raises(PluginError, match=r"restore\(\) does not take what state\(\) gave: KeyError: 'counts'"):
            victim_fit(tmp_path, model=Lost).fit()


class Spy(ReferencePairwise):
    """A model that tries to read the test items during training."""

    shop = None

    def batches(self, data, rng):
        with pytest.raises(SealedError, match="before the victim's fit had ended"):
            self.shop.held.read()
        Spy.looked = True
        return super().batches(data, rng)


def test_reading_a_held_out_item_before_the_fit_has_ended_raises(tmp_path):
    shop = victim_fit(tmp_path, model=Spy)
    Spy.shop, Spy.looked = shop, False
    shop.fit()
    assert Spy.looked
    assert len(shop.held.read()) == 40


def test_a_fit_that_fails_leaves_the_seal_unbroken(tmp_path):
    class Failing(ReferencePairwise):
        def loss_from(self, batch, e):
            return super().loss_from(batch, e)._replace(value=torch.full((len(batch.users),), torch.nan))

    shop = victim_fit(tmp_path, model=Failing)
    with pytest.raises(PluginError, match="training loss is nan"):
        shop.fit()
    with pytest.raises(SealedError):
        shop.held.read()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda losses: losses.mean().item(), "of type float"),
        (lambda losses: None, "of type NoneType"),
        (lambda losses: losses, r"a tensor of shape \(\d+,\)"),
        (lambda losses: losses.mean().detach(), "a tensor without a gradient"),
    ],
)
def test_a_loss_that_cannot_be_trained_on_is_an_error_of_the_plugin(tmp_path, change, problem):
    class Wrong(Defense):
        def loss(self, step):
            return change(step.losses(step.embed()).value)

    with pytest.raises(PluginError, match=f"the training loss is {problem}, not a tensor with one number"):
        victim_fit(tmp_path, defense=Wrong()).fit()


def test_a_checkpoint_is_used_again_and_gives_the_same_model(tmp_path):
    epochs = []
    one = victim_fit(tmp_path).fit(lambda done, of: epochs.append(done))
    two = victim_fit(tmp_path).fit(lambda done, of: epochs.append(done))
    assert epochs == [1, 2]
    assert all(np.array_equal(a, two.model.state()[n]) for n, a in one.model.state().items())
    assert one.report == two.report
    victim_fit(tmp_path, seed=1).fit(lambda done, of: epochs.append(done))
    assert epochs == [1, 2, 1, 2]


def test_two_seeds_are_two_fits(tmp_path):
    one, two = (victim_fit(tmp_path, seed=seed).fit().model.state() for seed in (0, 1))
    for name in ("user_vectors.weight", "item_vectors.weight"):
        assert not np.array_equal(one[name], two[name]), name


def test_a_checkpoint_depends_on_the_data_that_the_fit_sees(tmp_path):
    one, two = (victim_fit(tmp_path, attack=Bandwagon(Bandwagon.Config())) for _ in range(2))
    assert one.key == two.key
    three = victim_fit(tmp_path, attack=Bandwagon(Bandwagon.Config()))
    three.targets = np.array([4, 9])  # the victim's spec names the choice of targets, not the items
    assert three.key != one.key


def test_a_damaged_checkpoint_is_made_anew(tmp_path):
    one = victim_fit(tmp_path).fit()
    (path,) = (tmp_path / "checkpoints").rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    two = victim_fit(tmp_path).fit()
    assert all(np.array_equal(a, two.model.state()[n]) for n, a in one.model.state().items())


def test_a_checkpoint_with_other_tensors_is_dropped_and_the_victim_fitted_again(tmp_path, caplog):
    one = victim_fit(tmp_path).fit()
    job = victim_fit(tmp_path)
    _, notes = job.cache.read("checkpoints", job.key)
    job.cache.write("checkpoints", job.key, {"wrong": np.ones(3)}, notes)
    two = victim_fit(tmp_path).fit()
    assert all(np.array_equal(a, two.model.state()[n]) for n, a in one.model.state().items())
    assert ["it is made again" in record.getMessage() for record in caplog.records] == [True]


def test_profiles_of_an_oblivious_attack_are_made_once_for_all_victims(tmp_path):
    calls = []

    class Counted(Bandwagon):
        def profiles(self, train, **more):
            calls.append(1)
            return super().profiles(train, **more)

    one = victim_fit(tmp_path, attack=Counted.make()).fit()
    two = victim_fit(tmp_path, attack=Counted.make(), model=ReferenceSequence).fit()
    assert len(calls) == 1
    assert one.achieved == two.achieved == {"epsilon": 0.1, "fake_users": 4, "fake_interactions": 40}
    victim_fit(tmp_path, attack=Counted.make(), seed=1).fit()
    assert len(calls) == 2


def test_profiles_from_the_cache_are_held_to_the_budget_too(tmp_path):
    victim_fit(tmp_path, attack=Bandwagon.make()).fit()
    (path,) = (tmp_path / "profiles").rglob("*.safetensors")
    arrays, notes = read_entry(path)
    row = arrays["items"][: arrays["lengths"][0]]
    many = 99  # fake users, although 40 real users and ε = 0.1 allow only 4
    write = Cache(tmp_path).write
    write("profiles", path.stem, {"items": np.tile(row, many), "lengths": np.full(many, len(row))}, notes)
    with pytest.raises(PluginError, match="its budget is 4"):
        victim_fit(tmp_path, attack=Bandwagon.make(), seed=0, epochs=3).fit()


def test_zero_fake_users_are_the_clean_victim_bit_for_bit(tmp_path):
    clean = victim_fit(tmp_path).fit().model.state()
    dirty = victim_fit(tmp_path, attack=Bandwagon.make(), epsilon=0.0).fit()
    assert dirty.achieved["fake_users"] == 0
    assert all(np.array_equal(part, dirty.model.state()[n]) for n, part in clean.items())


def test_a_cleaning_defence_changes_what_is_trained_on(tmp_path):
    class DropFakes(Defense):
        def sanitise(self, train, rng):
            fake = np.array([np.isin([3, 8], train.row(user)).all() for user in range(train.n_users)])
            return Cleaned(train.without_users(fake), fake.astype(float))

    plain = victim_fit(tmp_path, attack=Bandwagon.make(), epsilon=0.5).fit().model.state()
    cleaned = victim_fit(tmp_path, attack=Bandwagon.make(), epsilon=0.5, defense=DropFakes()).fit()
    assert cleaned.sanitised is not None
    np.testing.assert_array_equal(cleaned.sanitised.flagged[40:], np.ones(20))
    assert not np.array_equal(plain["item_vectors.weight"], cleaned.model.state()["item_vectors.weight"])


def test_a_cleaning_defence_that_drops_nothing_is_the_undefended_victim_bit_for_bit(tmp_path):
    class Idle(Defense):
        def sanitise(self, train, rng):
            return Cleaned(train, rng.numpy().random(train.n_users))

    for attack in (None, Bandwagon.make()):
        plain = victim_fit(tmp_path, attack=attack).fit().model.state()
        idle = victim_fit(tmp_path, attack=attack, defense=Idle()).fit().model.state()
        assert all(np.array_equal(part, idle[name]) for name, part in plain.items())


def test_a_wrapping_defence_is_what_is_measured(tmp_path):
    class Wrapped(Defense):
        def wrap(self, model, rng):
            model.wrapped = True
            return model

    assert victim_fit(tmp_path, defense=Wrapped()).fit().model.wrapped


class Pretrained(ReferencePairwise):
    """A model that declares a file of weights that its fit also reads."""

    files = "one"

    def outside(self):
        return self.files


def test_other_files_of_weights_are_another_checkpoint(tmp_path, monkeypatch):
    before = victim_fit(tmp_path, model=Pretrained)
    before.fit()
    assert victim_fit(tmp_path, model=Pretrained).is_cached()
    monkeypatch.setattr(Pretrained, "files", "two")
    assert victim_fit(tmp_path, model=Pretrained).key != before.key
    assert not victim_fit(tmp_path, model=Pretrained).is_cached()


class Blanks(Defense):
    """A defence that removes the word ``Title`` from titles."""

    def clean_text(self, title):
        return title.replace("Title ", "")


class Reader(ReferencePairwise):
    """A model that records the titles in its training data."""

    def build(self, data, rng):
        type(self).read = [item.title for item in data.catalogue.items]
        super().build(data, rng)


def test_titles_are_cleaned_before_the_fit_and_the_reader_goes_on_to_the_measurement(tmp_path):
    fitted = victim_fit(tmp_path, model=Reader, defense=Blanks()).fit()
    assert Reader.read[:3] == ["0", "1", "2"]
    assert fitted.read("Title 7") == "7"
    plain = victim_fit(tmp_path / "plain", model=Reader).fit()
    assert Reader.read[:3] == ["Title 0", "Title 1", "Title 2"]
    assert plain.read is None


class Answers(Defense):
    """A defence that returns a given answer for every title."""

    answer: object = None

    def clean_text(self, title):
        return self.answer


@pytest.mark.parametrize(("answer", "kind"), [(None, "NoneType"), (b"Heat", "bytes"), (7, "int")])
def test_a_defence_that_gives_no_title_is_told_by_its_name(tmp_path, answer, kind):
    defense = Answers()
    defense.answer = answer
    with pytest.raises(PluginError, match=rf"Answers.clean_text\(\) gave {kind} for the title 'Title 0', not a str"):
        victim_fit(tmp_path, model=Reader, defense=defense).fit()
