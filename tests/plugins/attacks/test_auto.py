from robench.testing import EnsembleTests
from robench_plugins.attacks.auto import Auto


class TestEmbedding(EnsembleTests):
    attack = Auto


class TestEmbeddingLinf(EnsembleTests):
    attack = Auto
    settings = {"norm": "linf"}


class TestParameters(EnsembleTests):
    attack = Auto
    settings = {"surface": "parameters"}


class TestHistory(EnsembleTests):
    attack = Auto
    settings = {"surface": "history"}


class TestHistoryShare(EnsembleTests):
    attack = Auto
    settings = {"surface": "history", "unit": "fraction", "goal": "promote"}


class TestWords(EnsembleTests):
    attack = Auto
    settings = {"surface": "text"}


class TestCharacters(EnsembleTests):
    attack = Auto
    settings = {"surface": "text", "unit": "characters"}
