from robench.api.testing import DefenseTests
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.defenses.none import NoDefense


class TestNoDefense(DefenseTests):
    defense = NoDefense


class TestFgsmTraining(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1}


class TestFgsmTrainingWithoutShortcut(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "norm": "l2", "shortcut": False}


class TestPgdTraining(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "inner": "pgd", "steps": 2, "shortcut": False}


class TestHingeTraining(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "loss": "hinge"}
