from robench.testing import EmbeddingAttackTests, PoisoningAttackTests
from robench_plugins.attacks.embedding.cw import CarliniWagner
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.random_noise import RandomNoise
from robench_plugins.attacks.poisoning.bandwagon import Bandwagon
from robench_plugins.attacks.poisoning.random_profiles import RandomProfiles


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
