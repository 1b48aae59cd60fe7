"""Measures the cost of PGD-40 through the host against 40 bare gradients.

    python tools/perf/attacks.py [--rounds 9] [--only mlp cnn mf lstm] [--norms linf l2]

Two victims classify 128 random pictures with one label each: an MLP 784-256-256-10 and a CNN (16 and 32 channels, 28 x
28). The other two victims are an untrained MF and an untrained LSTM, with 670 users, 1,303 items and about 60 known
items per user.

Everything runs on one thread in this process, with the memory settings of a suite's workers. The calls take turns. For
each call, the CPU time of its fastest round counts. A bare gradient is the gradient of torch's cross-entropy of the
same masked scores. The bare gradients are computed at points that the attack visits. Their time depends on the point,
because ReLU and pooling block some gradients.

The columns are multiples of the 40 gradients:

plain loop    the 40 steps written out in torch, without a host, a best iterate, or an FGSM point
host          the attack on the host's oracle; the goal is at most 1.1
whole cell    ``MeasuredVictim.attacked``: also embedding, clean scores, the host's judgements, ranks, lists
torchattacks, foolbox
              their PGD, if they can be imported; torchattacks clamps to [0, 1], so its column has pictures only

The exit code is 1 if the goal is missed.
"""

import argparse
import importlib
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).parent))
from worker_environment import enter_worker_environment  # a module in the same folder

from robench.api import Batch, Embedded, Rng, TorchModel, TrainData
from robench.api.attacks.ball import Ball
from robench.api.data import Interactions
from robench.engine.measure import MeasuredVictim
from robench.testing.worlds import catalogue
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.mf import MatrixFactorization

STEPS, GOAL, PICTURES, LABELS = 40, 1.1, 128, 10
USERS, ITEMS, KNOWN = 670, 1303, 60


class Classifier(TorchModel):
    """A picture classifier in the form of a recommender.

    The users are pictures, and the items are labels.
    """

    def __init__(self, net, pictures):
        super().__init__()
        self.net, self.n_items, self.n_users = net, LABELS, len(pictures)
        self.register_buffer("pictures", pictures)

    def queries(self, users, history):
        return Batch(torch.from_numpy(np.array(users)), torch.empty(len(users), 0, dtype=torch.int64))

    def embed(self, batch):
        x = self.pictures[batch.users]
        return Embedded({"x": x}, {"x": torch.ones(x.shape[:-1], dtype=torch.bool)})

    def score_from(self, batch, e):
        return self.net(e.inputs["x"])

    def build(self, data, rng): ...

    def batches(self, data, rng): ...

    def loss_from(self, batch, e): ...


def mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, LABELS)
    )


def cnn():
    block = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    block += [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*block, nn.Flatten(), nn.Linear(32 * 49, 128), nn.ReLU(), nn.Linear(128, LABELS))


def classifier(net):
    """Returns a victim that classifies random pictures.

    The labels are the network's own predictions. Pixels are between .2 and .8, so PGD-40 at ε = .1 stays within [0, 1].
    """
    x = 0.2 + 0.6 * torch.rand(PICTURES, 1, 28, 28)
    with torch.no_grad():
        labels = net(x).argmax(1)
    empty = Interactions.from_rows([[] for _ in labels], LABELS)
    held = Interactions.from_rows([[int(label)] for label in labels], LABELS)
    return MeasuredVictim(Classifier(net, x).eval(), empty, held, np.arange(PICTURES), 0)


def recommender(model):
    """Returns a victim with an untrained recommender and random histories.

    Every user has one random held-out item.
    """
    generator = np.random.default_rng(0)
    lengths = np.minimum(generator.geometric(1 / KNOWN, USERS) + 3, ITEMS // 2)
    rows = [generator.choice(ITEMS, length + 1, replace=False) for length in lengths]
    history = Interactions.from_rows([row[:-1] for row in rows], ITEMS)
    held = Interactions.from_rows([row[-1:] for row in rows], ITEMS)
    none = Interactions.from_rows([[] for _ in rows], ITEMS)
    model.initialise(TrainData(history, none, catalogue(ITEMS)), Rng(0))
    return MeasuredVictim(model.eval(), history, held, np.arange(USERS), 0)


VICTIMS = {
    "mlp": lambda: classifier(mlp()),
    "cnn": lambda: classifier(cnn()),
    "mf": lambda: recommender(MatrixFactorization.make()),
    "lstm": lambda: recommender(Lstm.make()),
}


class Scores(nn.Module):
    """A module that maps the embedded input to scores, with −1e4 at masked items."""

    def __init__(self, bench):
        super().__init__()
        ((chunk),) = bench.chunks()
        self.batch, self.score_from = bench.model.queries(bench.users, bench.history), bench.model.score_from
        with torch.no_grad():
            self.e = bench.model.embed(self.batch)
        ((self.name, self.x),) = self.e.inputs.items()
        self.masked, self.labels = chunk.masked, chunk.held[:, 0]

    def forward(self, x):
        scores = self.score_from(self.batch, Embedded({self.name: x}, self.e.valid, self.e.context))
        return scores.index_put(self.masked, scores.new_tensor(-1e4)) if len(self.masked[0]) else scores


def bare(scores, points):
    """Computes the 40 bare gradients.

    The points are used in order, each for the same number of gradients.
    """
    for number in range(STEPS):
        x = points[number * len(points) // STEPS].detach().requires_grad_()
        torch.autograd.grad(cross_entropy(scores(x), scores.labels, reduction="sum"), x)


def plain(scores, norm, radius):
    """Runs PGD-40 as a plain loop, and returns the last perturbation."""
    long, delta = 2.5 * radius / STEPS, torch.zeros_like(scores.x)

    def lengths(part):
        return part.flatten(1).norm(dim=1).reshape(-1, *[1] * (part.dim() - 1))

    for _ in range(STEPS):
        x = (scores.x + delta).requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(scores(x), scores.labels, reduction="sum"), x)
        if norm == "linf":
            delta = (delta + long * gradient.sign()).clamp(-radius, radius)
        else:
            delta = delta + long * gradient / lengths(gradient)
            delta = delta * (radius / lengths(delta)).clamp(max=1)
    return delta


class Watched:
    """An oracle that records the points at which gradients are computed."""

    def __init__(self, oracle):
        self.oracle, self.seen = oracle, []

    def __getattr__(self, name):
        return getattr(self.oracle, name)

    def gradient(self, delta, *more):
        self.seen.append({name: part.clone() for name, part in delta.items()})
        return self.oracle.gradient(delta, *more)


def imported(name):
    """Returns a module, or None if the import fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        print(f"without {name}: {error}")
        return None


def sides(bench, norm, others):
    """Returns the functions to time, by name.

    The bare gradients come first.

    Args:
        bench: the victim.
        norm: the norm of the attacks.
        others: the modules of other libraries by name. A missing library is None.
    """
    attack, scores = Pgd.make(norm=norm, scale="absolute", k=1, steps=STEPS), Scores(bench).eval()
    (oracle,) = bench.surface("embedding").oracles(1)
    radius = 0.1 if norm == "linf" else 0.1 * float(oracle.lengths().max()) ** 0.5 / 2
    ball = Ball(norm, torch.full((len(scores.x),), radius))
    watched = Watched(oracle)
    list(attack.perturb(watched, ball, Rng(0)))
    # Only a few points are used, so that they stay in the processor's cache like the attack's own points.
    points = [scores.x + delta[scores.name] for delta in watched.seen[:: STEPS // 4]]
    found = {
        "bare": lambda: bare(scores, points),
        "plain loop": lambda: plain(scores, norm, radius),
        "host": lambda: list(attack.perturb(oracle, ball, Rng(0))),
        "whole cell": lambda: bench.attacked(attack, radius, "pgd"),
    }
    if others["torchattacks"] and isinstance(bench.model, Classifier):
        kind = {"l2": others["torchattacks"].PGDL2, "linf": others["torchattacks"].PGD}[norm]
        theirs = kind(bench.model.net, eps=radius, alpha=2.5 * radius / STEPS, steps=STEPS, random_start=False)
        found["torchattacks"] = lambda: theirs(scores.x, scores.labels)
    if others["foolbox"]:
        fool, bound = others["foolbox"], float(scores.x.abs().max()) + radius
        kind = {"l2": fool.attacks.L2PGD, "linf": fool.attacks.LinfPGD}[norm]
        pgd = kind(rel_stepsize=2.5 / STEPS, steps=STEPS, random_start=False)
        wrapped = fool.PyTorchModel(scores, bounds=(-bound, bound))
        found["foolbox"] = lambda: pgd(wrapped, scores.x, scores.labels, epsilons=radius)
    return found


def least(calls, rounds):
    """Returns the CPU seconds of each function in its fastest round.

    The functions take turns, and the first round does not count.
    """
    seconds = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    return {name: min(values[1:]) for name, values in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=VICTIMS, default=list(VICTIMS))
    parser.add_argument("--norms", nargs="+", choices=["linf", "l2"], default=["linf", "l2"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    others = {name: imported(name) for name in ("torchattacks", "foolbox")}
    columns, missed = ("plain loop", "host", "whole cell", "torchattacks", "foolbox"), 0
    print(f"{'victim':8}{'norm':6}{'ms each':>9}" + "".join(f"{name:>14}" for name in columns), flush=True)
    for victim in given.only:
        bench = VICTIMS[victim]()
        for norm in given.norms:
            seconds = least(sides(bench, norm, others), given.rounds)
            ratios = {name: value / seconds["bare"] for name, value in seconds.items()}
            cells = "".join(f"{ratios[name]:13.2f}x" if name in ratios else f"{'-':>14}" for name in columns)
            late = ratios["host"] > GOAL
            missed += late
            print(
                f"{victim:8}{norm:6}{seconds['bare'] / STEPS * 1e3:9.2f}{cells}{'  MISSED' if late else ''}", flush=True
            )
    print(f"goal: host at most {GOAL}x, missed {missed} times")
    return int(missed > 0)


if __name__ == "__main__":
    enter_worker_environment()
    sys.exit(main())
