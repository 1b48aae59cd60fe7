"""Measures fake users that evade detectors on MovieLens 100K.

    python tools/perf/evasion.py FOLDER [--seeds 0 1 2] [--attack NAME ...] [--detector NAME ...] [--effect MODEL ...]

FOLDER holds ml-100k.inter of MovieLens 100K in RecBole's format. The data, the split, the targets, the detectors and
the attacks are those of tools/perf/detection.py, with 1% fake users (``--epsilon``). Each attack makes its fake users
twice: without ``evade``, and with ``evade`` against the victim's detector. The attack uses other random numbers than
the victim. The script prints a line per attack, detector and setting of ``evade``, with means over seeds:

- the AUROC of the suspicion scores, and the recall and the precision of the dropped users
- the loss of the attack: minus the mean log popularity of fillers for bandwagon, the outer loss for revadv and pga
- the requests for suspicion scores, and the CPU seconds

``--effect`` fits models on the poisoned data, without and with the detector. The script then prints the mean percentile
of the targets over real users and targets (0 is the top of the list), and the same for models without fake users.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from detection import ATTACKS, DETECTORS, detect, world  # the module in the same folder

from robench.api import Defense, Outcome, Rng
from robench.api.data import joined
from robench.engine.data.targets import choose_targets
from robench.engine.fit.loop import fit
from robench.engine.fit.poisoning import add_profiles
from robench.engine.fit.profiles import ProfileMaker, VictimPipeline
from robench.engine.fit.sanitising import sanitise
from robench.engine.measure import MeasuredVictim
from robench.spec import TargetChoice
from robench_plugins.metrics.targets import TargetPercentile
from robench_plugins.models.popularity import Popularity

EVADING = ("bandwagon, half popular", "bandwagon, all popular", "revadv", "pga")
EVADE = {"evade": True, "knowledge": {"model": "surrogate"}}
SHOWN = ("auroc", "recall", "precision", "loss", "suspicion_requests", "seconds")
CPU = torch.device("cpu")


class Case:
    """The fake users of one attack, with and without ``evade``.

    Args:
        registry: the plugins.
        label: the name of the attack in ``ATTACKS``.
        data: the prepared data.
        sets: the targets of each seed.
        epsilon: the share of fake users.
    """

    def __init__(self, registry, label, data, sets, epsilon):
        self.registry, self.label, self.data, self.sets, self.epsilon = registry, label, data, sets, epsilon
        self.plain = {}

    def fakes(self, seed, detector, evade):
        """Returns the profiles and the report of their costs."""
        kind, config = ATTACKS[self.label]
        attack = self.registry.load("attack", kind).make(**config, **(EVADE if evade else {}))
        made = attack.profiles
        # The search of each detector starts from the same profiles, so they are made once.
        attack.profiles = lambda *given, **more: self.plain.setdefault(seed, None) or made(*given, **more)
        victim = VictimPipeline(Popularity, {}, detector, seed, CPU)
        rng = Rng(seed).child("poison")
        maker = ProfileMaker(attack, self.data.train_data(), self.sets[seed], self.epsilon, rng, victim)
        start = time.process_time()
        arrays, report = maker.make()
        profiles = replace(maker.read(arrays), costs={n[8:]: v for n, v in report.items() if n.startswith("profile_")})
        if not evade:
            self.plain[seed] = profiles
        return profiles, report | {"seconds": time.process_time() - start}


def percentile(data, kind, seed, train, targets):
    """Returns the mean percentile of the targets after a fit; 0 is the top."""
    model = kind.make()
    fit(model, replace(data.train_data(), train=train), Defense(), Rng(seed).child("fit"), CPU)
    users = np.flatnonzero((data.test.lengths() > 0) & (data.train.lengths() > 0))
    arrays = MeasuredVictim(model, joined(data.train, data.validation), data.test, users, seed).clean(targets).arrays
    parts = [np.asarray(arrays[name]).astype(np.int64) for name in ("indptr", "ranks", "top", "candidates")]
    outcome = Outcome(*parts, np.asarray(arrays["target_ranks"]).astype(np.int64))
    return 1 - float(TargetPercentile.make().per_user(outcome, 50).mean())


def show_detection(case, name, evade, numbers):
    """Prints the means of one detector under one attack.

    Undefined numbers are left out of the means.
    """
    values = {key: [one[key] for one in numbers if one.get(key) is not None] for key in SHOWN}
    words = [f"{key} {np.mean(of):.3f}" if of else f"{key} –" for key, of in values.items()]
    print(f"{case.label:24} {name:15} {'evading' if evade else 'plain':8} " + "  ".join(words), flush=True)


def main():
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--attack", nargs="*", default=list(EVADING), choices=EVADING)
    parser.add_argument("--detector", nargs="*", default=list(DETECTORS), choices=DETECTORS)
    parser.add_argument("--epsilon", type=float, default=0.01)
    parser.add_argument("--effect", nargs="*", default=[])
    options = parser.parse_args()
    registry, data = world(options.folder)
    n_real = data.train.n_users
    sets = choose_targets(data.train, TargetChoice(5, "all", max(options.seeds) + 1))

    def effects(way, trains):
        for model in options.effect:
            kind = registry.load("model", model)
            found = [percentile(data, kind, seed, train, sets[seed]) for seed, train in trains.items()]
            each = ", ".join(f"{value:.3f}" for value in found)
            print(f"    {model:6} {way:36} percentile {np.mean(found):.3f} ({each})", flush=True)

    effects("no fake users", dict.fromkeys(options.seeds, data.train))
    for label in options.attack:
        case = Case(registry, label, data, sets, options.epsilon)
        for name in options.detector:
            kind, config = DETECTORS[name]
            detector = registry.load("defense", kind).make(**config)
            for evade in (False, True):
                made = {seed: case.fakes(seed, detector, evade) for seed in options.seeds}
                trains = {seed: add_profiles(data.train, profiles).train for seed, (profiles, _) in made.items()}
                numbers = []
                for seed, (profiles, report) in made.items():
                    loss = [profiles.costs[n] for n in ("evade_loss_after", "outer_loss") if n in profiles.costs]
                    numbers.append(detect(detector, trains[seed], n_real, seed) | report | {"loss": (*loss, None)[0]})
                show_detection(case, name, evade, numbers)
                if evade or name == options.detector[0]:
                    effects(f"{label}, no detector", trains)
                effects(f"{label}, {name}", {s: sanitise(detector, t, Rng(s)).train for s, t in trains.items()})


if __name__ == "__main__":
    main()
