"""Tests that the suite of ``tools/every_plugin.py`` uses all built-in components.

The exceptions are executors, and data sets that are on the web or come from Python.
"""

import pytest
from tools.every_plugin import suite

import robench_plugins

SECTIONS = {
    "datasets": robench_plugins.robench_datasets,
    "models": robench_plugins.robench_models,
    "defenses": robench_plugins.robench_defenses,
    "attacks": robench_plugins.robench_attacks,
}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_built_in_plugin_is_used(tmp_path, section):
    # The suite names no data sets that are on the web or come from Python.
    elsewhere = ".datasets.known_", ".datasets.frame:"
    names = {name for name, target in SECTIONS[section]().items() if not any(one in target for one in elsewhere)}
    assert {entry["name"] for entry in suite(tmp_path)[section]} == names


def test_every_built_in_metric_is_used(tmp_path):
    names = {name.partition("@")[0] for name in suite(tmp_path)["metrics"]}
    assert names == set(robench_plugins.robench_metrics())
