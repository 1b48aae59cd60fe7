from robench.testing import EmbeddingAttackTests, PoisoningAttackTests
from robench_plugins.attacks.embedding.cw import CarliniWagner
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.random_noise import RandomNoise
from robench_plugins.attacks.poisoning.bandwagon import Bandwagon
from robench_plugins.attacks.poisoning.copy_profile import CopyProfile
from robench_plugins.attacks.poisoning.random_profiles import RandomProfiles
from robench_plugins.attacks.poisoning.segment import Segment


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


class TestSegment(PoisoningAttackTests):
    attack = Segment


class TestSegmentByGenre(PoisoningAttackTests):
    attack = Segment
    settings = {"by": "genre", "place_targets": "behind"}


class TestCopyProfile(PoisoningAttackTests):
    attack = CopyProfile
    settings = {"place_targets": "last"}


class TestRandomProfiles(PoisoningAttackTests):
    attack = RandomProfiles
