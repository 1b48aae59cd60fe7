from robench.testing import HistoryAttackTests
from robench_plugins.attacks.history.edit_effects import EditEffects
from robench_plugins.attacks.history.greedy_edit import GreedyEdit
from robench_plugins.attacks.history.greedy_gradient import GreedyGradient
from robench_plugins.attacks.history.random_edit import RandomEdit


class TestRandomEdit(HistoryAttackTests):
    attack = RandomEdit
    settings = {"draws": 20}


class TestRandomSubstitution(HistoryAttackTests):
    attack = RandomEdit
    settings = {"draws": 20, "edits": ["substitute"]}


class TestGreedyEdit(HistoryAttackTests):
    attack = GreedyEdit
    settings = {"queries": 20}


class TestGreedyDeletion(HistoryAttackTests):
    attack = GreedyEdit
    settings = {"queries": 20, "edits": ["delete"], "loss": "ce"}


class TestGreedyGradient(HistoryAttackTests):
    attack = GreedyGradient
    settings = {"candidates": 10}


class TestEditEffects(HistoryAttackTests):
    attack = EditEffects
    settings = {"verified": 20, "leaders": 1, "places": 3}


class TestSampledEffects(HistoryAttackTests):
    attack = EditEffects
    settings = {"inserted": 8, "verified": 5, "leaders": 0}


class TestDeletionEffects(HistoryAttackTests):
    attack = EditEffects
    settings = {"edits": ["delete"], "verified": 5}
