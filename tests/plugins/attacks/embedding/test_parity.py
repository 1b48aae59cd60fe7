"""Tests FGSM, PGD, APGD and C&W against foolbox and torchattacks.

All attacks use the masked scores of the same victims.
"""

import importlib
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from robench.api import Embedded
from robench.api.attacks.ball import Ball, l2
from robench.api.data import Interactions
from robench.api.rng import Rng
from robench.engine.measure import MeasuredVictim
from robench.testing.worlds import reference_victim
from robench_plugins.attacks.embedding.apgd import Apgd
from robench_plugins.attacks.embedding.cw import CarliniWagner
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.attacks.embedding.pgd import Pgd

MASKED = -1e4  # exp(−1e4) is 0 in float32; −inf would give NaN in a product with 0


def theirs(name, hint):
    """Imports and returns a library, or skips the test without the library."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the libraries import deprecated parts of scipy
            return importlib.import_module(name)
    except ImportError as error:
        return pytest.skip(f"{name} is not installed ({error}): {hint}")


@pytest.fixture(scope="module")
def foolbox():
    return theirs("foolbox", "it is in the extra 'dev', and needs git's executable")


@pytest.fixture(scope="module")
def torchattacks():
    return theirs("torchattacks", "pip install --no-deps torchattacks==3.5.1 (it pins an old requests and torchvision)")


class Classifier(nn.Module):
    """A classifier that maps embedded inputs to masked scores.

    The labels are the held-out items.
    """

    def __init__(self, measured):
        super().__init__()
        # Only a bound method is stored, so that the other libraries cannot switch the mode of the shared victim.
        self.score_from, self.batch = (
            measured.model.score_from,
            measured.model.queries(measured.users, measured.history),
        )
        with torch.no_grad():
            self.e = measured.model.embed(self.batch)
        ((self.name, self.x),) = self.e.inputs.items()
        self.valid = self.e.valid[self.name].unsqueeze(-1)
        rows = [measured.held.row(user) for user in measured.users]
        self.labels = torch.from_numpy(np.concatenate(rows))
        self.known = torch.zeros(len(rows), measured.history.n_items, dtype=torch.bool)
        for row, user in enumerate(measured.users):
            self.known[row, np.setdiff1d(measured.history.row(user), rows[row])] = True

    def forward(self, x):
        moved = {self.name: torch.where(self.valid, x, self.x)}
        scores = self.score_from(self.batch, Embedded(moved, self.e.valid, self.e.context))
        return scores.masked_fill(self.known, MASKED)

    def loss(self, x):
        with torch.no_grad():
            return cross_entropy(self(x), self.labels, reduction="none")

    def broken(self, x):
        with torch.no_grad():
            return self(x).argmax(1) != self.labels


class Pictures(nn.Module):
    """A classifier of pictures with one grey channel and values in [0, 1].

    Attacks that need pictures use this class. A pixel encodes an input between −``span`` / 2 and ``span`` / 2.
    """

    def __init__(self, inner, span):
        super().__init__()
        self.inner, self.span = inner, span
        self.here = nn.Parameter(torch.zeros(1))  # the libraries read the device from a parameter

    def of(self, x):
        return (x / self.span + 0.5).reshape(len(x), 1, -1, x.shape[-1])

    def back(self, u):
        return ((u - 0.5) * self.span).reshape(self.inner.x.shape)

    def forward(self, u):
        return self.inner(self.back(u))


class World:
    """A victim, its classifier, and a ball of one radius for all users."""

    def __init__(self, victim, norm, epsilon):
        self.measured = reference_victim(victim)
        self.classifier = Classifier(self.measured).eval()
        self.x, self.labels = self.classifier.x, self.classifier.labels
        (self.oracle,) = self.measured.surface("embedding").oracles(10)
        entries = float(self.oracle.lengths().max())
        self.radius = epsilon * self.measured.surface("embedding").rms() * (1 if norm == "linf" else entries**0.5)
        self.ball = Ball(norm, torch.full((len(self.x),), self.radius))
        self.bound = 2 * float(self.x.abs().max()) + 2 * self.radius
        self.clean = self.classifier.loss(self.x)

    def ours(self, attack, which, oracle=None):
        """Returns the loss per user at one candidate of an attack.

        ``which`` is the index of the candidate.
        """
        candidates = list(attack.perturb(oracle or self.oracle, self.ball, Rng(0)))[which]
        return self.classifier.loss(self.x + self.ball.project(candidates)[self.classifier.name])


@cache
def losses_of_pgd(victim, norm, steps):
    """Returns the losses per user at the last and at the best iterate of PGD."""
    world = World(victim, norm, 0.5)
    points = list(Pgd.make(norm=norm, steps=steps).perturb(world.oracle, world.ball, Rng(0)))
    return [world.classifier.loss(world.x + world.ball.project(point)[world.classifier.name]) for point in points[1:3]]


@pytest.fixture(params=["pairwise", "sequence", "ragged"])
def victim(request):
    return request.param


def assert_same(ours, others, clean):
    """Asserts that ``ours`` is well above the clean loss, and agrees with ``others``."""
    assert float(ours.mean()) > float(clean.mean()) + 0.3, "the attack did not move the loss"
    assert float(((ours - others).abs() / others).max()) <= 1e-4


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("epsilon", [0.1, 0.5])
def test_fgsm_reaches_the_loss_of_foolbox_for_every_user(foolbox, victim, norm, epsilon):
    w = World(victim, norm, epsilon)
    name = {"l2": "L2FastGradientAttack", "linf": "LinfFastGradientAttack"}[norm]
    attack = getattr(foolbox.attacks, name)(random_start=False)
    model = foolbox.PyTorchModel(w.classifier, bounds=(-w.bound, w.bound))
    others = w.classifier.loss(attack.run(model, w.x, w.labels, epsilon=w.radius))
    assert_same(w.ours(Fgsm.make(norm=norm), 0), others, w.clean)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("steps", [10, 40])
def test_pgd_reaches_the_loss_of_foolbox_for_every_user(foolbox, victim, norm, steps):
    w = World(victim, norm, 0.5)
    kind = {"l2": "L2PGD", "linf": "LinfPGD"}[norm]
    attack = getattr(foolbox.attacks, kind)(rel_stepsize=2.5 / steps, steps=steps, random_start=False)
    model = foolbox.PyTorchModel(w.classifier, bounds=(-w.bound, w.bound))
    others = w.classifier.loss(attack.run(model, w.x, w.labels, epsilon=w.radius))
    last, best = losses_of_pgd(victim, norm, steps)
    assert_same(last, others, w.clean)  # foolbox returns the last iterate
    assert (torch.maximum(last, best) >= others * (1 - 1e-4)).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("steps", [10, 40])
def test_pgd_reaches_the_loss_of_torchattacks_for_every_user(torchattacks, victim, norm, steps):
    w = World(victim, norm, 0.5)
    pictures = Pictures(w.classifier, 2 * w.bound).eval()
    epsilon = w.radius / pictures.span
    kind = {"l2": "PGDL2", "linf": "PGD"}[norm]
    attack = getattr(torchattacks, kind)(
        pictures, eps=epsilon, alpha=2.5 * epsilon / steps, steps=steps, random_start=False
    )
    others = w.classifier.loss(pictures.back(attack(pictures.of(w.x), w.labels)))
    last, best = losses_of_pgd(victim, norm, steps)
    assert_same(last, others, w.clean)  # torchattacks returns the last iterate
    assert (torch.maximum(last, best) >= others * (1 - 1e-4)).all()


class StartedAt:
    """An oracle that replaces δ = 0 with another start.

    Attacks without a random start then begin at this start.
    """

    def __init__(self, oracle, start):
        self._oracle, self._start = oracle, start

    def __getattr__(self, name):
        return getattr(self._oracle, name)

    def zero(self):
        return self._start


# One radius per norm is enough: the tests of FGSM and PGD cover how a radius follows from ε.
@pytest.mark.parametrize(("norm", "epsilon"), [("l2", 0.5), ("linf", 0.1)])
def test_apgd_reaches_at_least_the_loss_of_torchattacks_from_the_same_start(torchattacks, victim, norm, epsilon):
    w = World(victim, norm, epsilon)
    pictures = Pictures(w.classifier, 2 * w.bound).eval()
    kind = {"l2": "L2", "linf": "Linf"}[norm]
    attack = torchattacks.APGD(pictures, norm=kind, eps=w.radius / pictures.span, steps=50)
    torch.manual_seed(0)  # torchattacks first draws its start
    shape = pictures.of(w.x).shape
    start = (torch.randn(shape) if norm == "l2" else torch.rand(shape) * 2 - 1).reshape(w.x.shape)
    flat = start.flatten(1)
    length = flat.norm(dim=1) if norm == "l2" else flat.abs().amax(1)
    start = start * (w.radius / length).reshape(-1, *[1] * (start.dim() - 1))
    torch.manual_seed(0)
    _, found = attack.perturb(pictures.of(w.x), w.labels, best_loss=True)
    others = float(w.classifier.loss(pictures.back(found)).mean())
    apgd = Apgd.make(norm=norm, steps=50)
    ours = float(w.ours(apgd, 0, StartedAt(w.oracle, {w.classifier.name: start})).mean())
    # torchattacks rounds checkpoints down, but the paper rounds them up. Measured mean losses differ by up to 1e-4.
    assert ours >= others * (1 - 5e-4)
    assert others > float(w.clean.mean()) + 0.3
    assert float(w.ours(apgd, 0).mean()) >= others * (1 - 3e-3), "from δ = 0"


def favourites(measured):
    """Returns a copy of a victim with other held-out items.

    The best unmasked item of each user becomes the held-out item.
    """
    scores = measured.model.scores(measured.users, measured.history).copy()
    for row, user in enumerate(measured.users):
        scores[row, measured.history.row(user)] = -np.inf
    best = Interactions.from_rows([[int(item)] for item in scores.argmax(1)], measured.history.n_items)
    return MeasuredVictim(measured.model, measured.history, best, measured.users, 0)


@pytest.mark.parametrize("kind", ["pairwise", "sequence"])
def test_carlini_wagner_finds_a_median_radius_no_larger_than_foolbox_with_as_many_gradients(foolbox, kind):
    measured = favourites(reference_victim(kind))
    classifier = Classifier(measured).eval()
    x, labels = classifier.x, classifier.labels
    (oracle,) = measured.surface("embedding").oracles(1)

    def shortest(points):
        radius = torch.full((len(x),), torch.inf)
        for point in points:
            size = l2({"x": (point - x) * classifier.valid})
            radius = torch.where(classifier.broken(point) & (size < radius), size, radius)
        return float(radius.median())

    # Each attack computes 300 gradients in 5 outer steps over c. An outer step of foolbox has 60 steps.
    # An outer step of robench has 20 steps for each of 3 restarts, which aim at different rivals.
    attack = CarliniWagner.make(k=1, steps=20, search=5, restarts=3)
    ours = shortest(x + found[classifier.name] for found in attack.minimise(oracle, Rng(0)))
    bound = 2 * float(x.abs().max())
    model = foolbox.PyTorchModel(classifier, bounds=(-bound, bound))
    # These are the best two of sixteen pairs of a step and a c, and better than foolbox's defaults.
    for step, weight in [(0.1, 1.0), (0.03, 1.0)]:
        other = foolbox.attacks.L2CarliniWagnerAttack(
            binary_search_steps=5, steps=60, stepsize=step, initial_const=weight, abort_early=False
        )
        found = shortest([other.run(model, x, foolbox.criteria.Misclassification(labels))])
        assert 0 < ours <= found, (step, weight)
