"""Tests that every setting has a description.

The reference page shows these descriptions.
"""

import importlib

import pytest

import robench_plugins

HOOKS = ("datasets", "models", "attacks", "defenses", "executors")
TARGETS = sorted({target for hook in HOOKS for target in getattr(robench_plugins, f"robench_{hook}")().values()})


def described(config, name):
    """Returns whether a settings class, or one of its bases, describes the field."""
    bases = [base for base in config.__mro__ if name in getattr(base, "model_fields", {})]
    return any(base.model_fields[name].description for base in bases)


@pytest.mark.parametrize("target", TARGETS)
def test_every_setting_is_described(target):
    module, name = target.split(":")
    config = getattr(importlib.import_module(module), name).Config
    missing = [field for field in config.model_fields if not described(config, field)]
    assert not missing
