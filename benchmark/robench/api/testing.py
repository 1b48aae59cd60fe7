"""Conformance classes for plugins (needs pytest): the doorway to ``robench.conformance``.

A plugin's whole test is::

    class TestMine(EmbeddingAttackTests):
        attack = Mine
"""

from __future__ import annotations

from robench.conformance.attacks import CorruptionTests, EmbeddingAttackTests, PoisoningAttackTests
from robench.conformance.ensembles import EnsembleTests
from robench.conformance.history import HistoryAttackTests
from robench.conformance.models import ModelTests, TorchModelTests
from robench.conformance.others import DatasetTests, DefenseTests, ExecutorTests, MetricTests
from robench.conformance.text import TextAttackTests

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
