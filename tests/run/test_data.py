"""Tests that a worker takes only the prepared data that its task names."""

import pytest

from robench.api.errors import DataError
from robench.files.cache import Cache
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.data import DataKey, load_prepared, prepare_data
from robench.spec import Part


@pytest.fixture
def prepared(tmp_path):
    """Returns a cache with prepared data, and the key of the data."""
    registry, cache = Registry.of(Host.discover()), Cache(tmp_path)
    config = registry.class_of("dataset", "synthetic").Config(users=30, items=20, interactions_per_user=6)
    data = Part("synthetic", config.model_dump(mode="json"), "synthetic")
    split = Part("leave-last-out", {}, "leave-last-out")
    key, _ = prepare_data(data, split, registry, tmp_path, cache)
    return cache, key


def test_a_worker_takes_the_data_that_its_task_names(prepared):
    cache, key = prepared
    assert load_prepared(cache, key).sha256() == key.sha256


def test_whole_data_of_another_version_are_refused(prepared):
    cache, key = prepared
    with pytest.raises(DataError, match="not the data that this run prepared"):
        load_prepared(cache, DataKey(key.key, "0" * 64))
    with pytest.raises(DataError, match="not the data that this run prepared"):
        load_prepared(cache, DataKey("0" * 32, key.sha256))
