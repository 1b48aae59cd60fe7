"""Measures the published statistics of each preset of ``synthetic``."""

import hashlib
import json

import numpy as np
import pytest
from tests.docs.pages import read

from robench.engine.data.prepare import prepare
from robench.spec import Part
from robench.testing import DatasetTests
from robench_plugins.datasets.population import activity
from robench_plugins.datasets.presets import PRESETS
from robench_plugins.datasets.synthetic import Synthetic

# Relative tolerance of counts, and absolute tolerance of shares and Gini coefficients.
RELATIVE = {"mean": 0.01, "first_to_16th": 0.15}
ABSOLUTE = {"cold": 0.0, "gone": 0.03, "item_gini": 0.03, "user_gini": 0.01, "below_mean": 0.03}
ABSOLUTE |= {"new_items": 0.07, "repeated": 0.01}


def gini(counts):
    """Returns the Gini coefficient of counts, without those that are 0."""
    counts = np.sort(counts[counts > 0])
    ranks = np.arange(1, len(counts) + 1)
    return float((2 * ranks - len(counts) - 1) @ counts / (len(counts) * counts.sum()))


def measure(source):
    """Returns all statistics of a drawn log."""
    log, c = source.load(), source.config
    per_item, per_user = np.bincount(log.items, minlength=c.items), np.bincount(log.users, minlength=c.users)
    first = np.full(c.items, np.iinfo(np.int64).max)
    last = np.zeros(c.items, dtype=np.int64)
    np.minimum.at(first, log.items, log.times)
    np.maximum.at(last, log.items, log.times)
    day, top = 86_400, np.sort(per_item)[::-1]
    busy = per_item >= np.quantile(per_item, 0.5)  # of a rare item, the first event comes long after it appears
    return {
        "mean": len(log.users) / c.users,
        "cold": float((per_user < 5).mean()),
        "item_gini": gini(per_item),
        "user_gini": gini(per_user),
        "below_mean": float((per_item < per_item.mean()).mean()),
        "first_to_16th": top[0] / top[15],
        "gone": float((last - first < 2 * day)[per_item > 0].mean()),
        "new_items": float((first > 0.06 * c.days * day)[busy].mean()),
        "repeated": 1 - len(np.unique(log.users * c.items + log.items)) / len(log.users),
    }


@pytest.fixture(scope="module", params=[(name, seed) for name in PRESETS for seed in (0, 1)], ids=str)
def drawn(request):
    name, seed = request.param
    return name, measure(Synthetic.make(preset=name, seed=seed))


def test_every_published_number_is_in_the_drawn_data(drawn):
    name, found = drawn
    for statistic, published in PRESETS[name].published.items():
        tolerance = (
            {"rel": RELATIVE[statistic]} if statistic in RELATIVE else {"rel": 0, "abs": ABSOLUTE[statistic] + 1e-12}
        )
        assert found[statistic] == pytest.approx(published.value, **tolerance), statistic


def test_the_plain_draw_has_other_statistics():
    found = measure(Synthetic.make(users=2000, items=500))
    for name, preset in PRESETS.items():
        assert any(abs(found[s] - p.value) > 0.1 for s, p in preset.published.items()), name


@pytest.mark.parametrize(
    ("settings", "digest"),
    [
        ({}, "c0c25fd61f0235a0270e08beb5909301ff890970e160c79c432c2f53c349a665"),
        ({"users": 60, "items": 40}, "af00b5f13d8c698029d10a0507634b8a643f1434b27ce8c8969a227efb3eea50"),
    ],
)
def test_the_plain_draw_is_that_of_earlier_versions(settings, digest):
    log = Synthetic.make(**settings).load()
    assert hashlib.sha256(log.users.tobytes() + log.items.tobytes() + log.times.tobytes()).hexdigest() == digest
    assert not {"preset", "spread", "days"} & set(Synthetic.make(**settings).config.resolved())


class TestPopulation(DatasetTests):
    dataset = Synthetic
    settings = {"preset": "social", "users": 60, "items": 40}


@pytest.mark.parametrize("name", PRESETS)
def test_resolved_settings_of_a_preset_are_read_back(name):
    for changes in ({}, {"fewest": 1, "lifetime": None, "spread": 0.5, "repeats": "first"}):
        source = Synthetic.make(preset=name, **changes)
        resolved = json.loads(json.dumps(source.config.resolved()))
        again = Synthetic.make(**resolved)
        assert again.config == source.config
        assert again.fingerprint() == source.fingerprint()
        assert all(getattr(again.config, key) == value for key, value in changes.items())


def test_a_setting_of_populations_needs_a_spread():
    with pytest.raises(ValueError, match="lifetime has an effect only with a number for spread"):
        Synthetic.make(lifetime=2.0)
    with pytest.raises(ValueError, match="below fewest"):
        Synthetic.make(spread=1.0, fewest=5, interactions_per_user=4)


def test_the_activity_of_users_has_the_mean_and_the_limits():
    counts = activity(1000, 12.0, fewest=3, spread=1.5, most=200)
    assert counts.mean() == pytest.approx(12, abs=0.05)
    assert (counts.min(), counts.max()) == (3, 200)
    assert (np.diff(counts) >= 0).all()
    assert np.ptp(activity(1000, 12.0, fewest=3, spread=0.0, most=200)) == 0


def test_users_have_no_item_twice_without_repeats_and_times_rise():
    log = Synthetic.make(preset="courses", users=500, items=80).load()
    pairs = log.users * 80 + log.items
    assert len(np.unique(pairs)) == len(pairs)
    assert (np.diff(log.users) >= 0).all()
    assert (np.diff(log.times)[np.diff(log.users) == 0] >= 0).all()


def test_a_repeat_has_an_item_that_the_user_already_has():
    log = Synthetic.make(preset="health", users=200).load()
    seen, again = set(), []
    for pair in zip(log.users.tolist(), log.items.tolist(), strict=True):
        again.append(pair in seen)
        seen.add(pair)
    assert np.mean(again) == pytest.approx(0.385, abs=0.02)
    assert not again[0]


def test_tastes_are_in_the_population():
    log = Synthetic.make(preset="courses").load()
    taste = np.array([int(log.catalogue[str(i)].genres[0].split()[1]) for i in range(651)])[log.items]
    heavy = np.flatnonzero(np.bincount(log.users) >= 10)[:100]
    own = [np.bincount(taste[log.users == u]).max() / (log.users == u).sum() for u in heavy]
    assert np.mean(own) > 0.6


def test_the_host_prepares_every_preset():
    for name in PRESETS:
        source = Synthetic.make(preset=name)
        data = prepare(source.load(), source.config, Part("leave-last-out", {"n": 1}, "s"))
        assert len(data.test) > 0.25 * data.train.n_users, name


def test_the_guide_names_every_source():
    text = " ".join(read("docs/guide/domains.md").split())
    for preset in PRESETS.values():
        for statistic in preset.published.values():
            assert statistic.source in text
