"""Conformance classes for plugins (needs pytest): a plugin author imports them from here.

A plugin's whole test is::

    class TestMine(EmbeddingAttackTests):
        attack = Mine
"""

from __future__ import annotations

from robench.testing.attacks import CorruptionTests, EmbeddingAttackTests, PoisoningAttackTests
from robench.testing.datasets import DatasetTests
from robench.testing.defenses import DefenseTests
from robench.testing.ensembles import EnsembleTests
from robench.testing.executors import ExecutorTests
from robench.testing.history import HistoryAttackTests
from robench.testing.metrics import MetricTests
from robench.testing.models import ModelTests, TorchModelTests
from robench.testing.text import TextAttackTests

__all__ = [
    "CorruptionTests",
    "DatasetTests",
    "DefenseTests",
    "EmbeddingAttackTests",
    "EnsembleTests",
    "ExecutorTests",
    "HistoryAttackTests",
    "MetricTests",
    "ModelTests",
    "PoisoningAttackTests",
    "TextAttackTests",
    "TorchModelTests",
]
