from robench.api.testing import EmbeddingAttackTests, PoisoningAttackTests
from robench_plugins.attacks.bandwagon import Bandwagon
from robench_plugins.attacks.cw import CarliniWagner
from robench_plugins.attacks.fgsm import Fgsm
from robench_plugins.attacks.pgd import Pgd
from robench_plugins.attacks.random_noise import RandomNoise
from robench_plugins.attacks.random_profiles import RandomProfiles


class TestFgsm(EmbeddingAttackTests):
    attack = Fgsm


class TestPgd(EmbeddingAttackTests):
    attack = Pgd
    settings = {"steps": 10}


class TestPgdRestarts(EmbeddingAttackTests):
    attack = Pgd
    settings = {"steps": 5, "restarts": 3, "loss": "margin"}


class TestRandomNoise(EmbeddingAttackTests):
    attack = RandomNoise
    settings = {"draws": 5}


class TestCarliniWagner(EmbeddingAttackTests):
    attack = CarliniWagner
    settings = {"steps": 30, "search": 4}
    norms = ("l2",)


class TestBandwagon(PoisoningAttackTests):
    attack = Bandwagon


class TestRandomProfiles(PoisoningAttackTests):
    attack = RandomProfiles
