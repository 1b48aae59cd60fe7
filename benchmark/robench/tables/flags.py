"""Flags: computed from the cells, never typed in, each with its numbers and a sentence a person understands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from robench.api.threat import SURFACES
from robench.store.record import ENSEMBLE
from robench.tables.comparisons import GRADIENT, gaps, held_out, promoted
from robench.tables.members import comparisons
from robench.tables.results import Columns, Results, RowKey, is_baseline, row_of, threat_of
from robench.tables.rows import FROZEN, Matrix, Row, clean_cells
from robench.tables.stats import interval

BLIND = ("no better than random", "black-box beats white-box")  # between members of an ensemble: unranked
LEAST_HITS = 50  # users hit at clean, below which a gap cannot be judged
LEAST_ITEMS = 3  # rewritten titles, below which a gap cannot be judged
LEAST_GAP = 0.02  # of the clean value
MOST_ZERO = 0.01  # of the hit users
MOST_BLIND = 0.5  # of the hit users: an ensemble whose gradient attacks were blind there shows nothing
OVERSHOOT = 1 + 1e-4
MOST_ROUNDING = 1.05  # achieved share over ε
MOST_NOISE = 1e-4  # between two looks at the clean scores, in standard deviations of the scores
Flag = dict[str, Any]


def flag(name: str, why: str, **numbers: Any) -> Flag:
    """A flag with its numbers and its explanation."""
    return {"flag": name, "why": why, "numbers": numbers}


def judge(
    results: Results, row: Row, reference: str, popularity: Matrix | None, entry: Mapping[str, Any] | None = None
) -> None:
    """Set the flags of a row.

    Args:
        reference: the metric of the gaps; where the suite does not measure it, no gap is judged.
        popularity: popularity's clean values of it [S, U].
        entry: the table; only attacks of its threat model are judged. None: all test-time attacks.
    """
    notes = list(_completeness(row))
    if is_baseline(row.columns):
        row.notes = notes
        row.flags = [note["flag"] for note in notes]
        return
    if FROZEN in row.adaptive.split(", "):
        notes.append(flag("frozen attack", "an attack was made against another pipeline, so the row is unranked"))
    below = _not_above_popularity(results, row, reference, popularity)
    if below is not None:
        row.ranked = False
        notes.append(below)
    notes += _noise(results, row)
    cells = [c for c in results.cells if row_of(c) == row.key and c["stage"] == "test" and results.ok(c)]
    cells = [c for c in cells if entry is None or threat_of(c) == threat_of(entry)]
    notes += _budget(results, cells) + _gradients(results, row, cells) + _rounding(results, row, entry)
    notes += _single_draws(results, cells)
    if entry is not None and entry["goal"] == "promote":
        notes += _gaps_promoted(results, cells, entry["surface"])
    elif reference in results.plan["metrics"] and (entry is None or entry["goal"] == "untargeted"):
        notes += _gaps(results, row, cells, reference)
    row.notes = notes
    row.flags = list(dict.fromkeys(note["flag"] for note in notes))


def _gaps(results: Results, row: Row, cells: Sequence[Columns], reference: str) -> Iterator[Flag]:
    """What the paired gaps between attacks say, or that there are too few hit users to say it."""
    values = [results.per_user(c, reference) for c in clean_cells(results, row.key)]
    clean = float(np.mean([np.nanmean(v) for v in values if v is not None]))
    hits = row.hits(results, 10)
    if hits < LEAST_HITS and cells:
        why = f"fewer than {LEAST_HITS} users are hit at clean, so no gap between attacks is judged"
        yield flag("low power", why, users_hit=hits)
        return
    for name, why, gap, _ in gaps(results, cells, held_out(results, reference)):
        if gap.low > 0 and gap.mean > LEAST_GAP * clean:
            yield flag(name, why, gap=gap.mean, low=gap.low, high=gap.high, clean=clean)
    for name, why, gap, level in comparisons(results, cells, clean):
        if gap.low > 0 and gap.mean > LEAST_GAP * level:
            # The ensemble's gradient attacks are known to work: the victim blinds them, and its rank means nothing.
            row.ranked = row.ranked and name not in BLIND
            yield flag(name, why, gap=gap.mean, low=gap.low, high=gap.high, level=level)
    yield from _idle_losses(results, row.key, cells, reference, clean)


def _gaps_promoted(results: Results, cells: Sequence[Columns], surface: str) -> Iterator[Flag]:
    """The same where items are promoted: against what the stronger attack reaches, as next to nothing is there at
    clean. Every user without the item can be reached, whom the model ranks well or not.
    """
    ranks = {
        (c["seed"], c["target_set"]): found
        for c in cells
        if (found := results.arrays(c["cell"]).get("target_ranks")) is not None
    }
    if not ranks:
        return
    reachable = min(int((found > 0).any(0).sum()) for found in ranks.values())
    items = max(sum(len(found) for (seed, _), found in ranks.items() if seed == one) for one, _ in ranks)
    if reachable < LEAST_HITS:
        why = f"fewer than {LEAST_HITS} users are without a promoted item, so no gap between attacks is judged"
        yield flag("low power", why, users=reachable)
        return
    if surface == "text" and items < LEAST_ITEMS:
        why = f"fewer than {LEAST_ITEMS} titles are rewritten, so no gap between attacks is judged"
        yield flag("low power", why, items=items)
        return
    hits, gains = (gaps(results, cells, scale) for scale in promoted(results, surface))
    for (name, why, gap, left), gain in zip(hits, gains, strict=True):
        if gap.low > 0 and gain.interval.low > 0 and gap.mean > LEAST_GAP * -left:
            yield flag(name, why, gap=gap.mean, low=gap.low, high=gap.high, reached=-left)


def _completeness(row: Row) -> Iterator[Flag]:
    if row.measured < row.planned:
        why = "some planned cells failed or were not run; the row stands on the others"
        yield flag(
            f"incomplete: {row.measured} of {row.planned} cells", why, planned=row.planned, measured=row.measured
        )
    for sentence in row.missing:
        why = "a row is ranked only on seeds that have every attack of its table, and none has them all"
        yield flag(f"unranked: {sentence}", why, seeds=len(row.seeds))
    if len(row.seeds) == 1:
        yield flag("one seed", "one fit says nothing about the spread between fits", seeds=1)


def _not_above_popularity(results: Results, row: Row, reference: str, popularity: Matrix | None) -> Flag | None:
    if popularity is None:
        return None
    values = [results.per_user(c, reference) for c in clean_cells(results, row.key)]
    clean = np.stack([v for v in values if v is not None])
    seeds = min(len(clean), len(popularity))
    gap = interval(clean[:seeds] - popularity[:seeds])
    if gap.low > 0:
        return None
    why = (
        f"its clean {reference} does not clear popularity's (95% interval of the paired difference), so it is unranked"
    )
    return flag("not above popularity", why, gap=gap.mean, low=gap.low, high=gap.high)


def _noise(results: Results, row: Row) -> list[Flag]:
    """Whether two looks at the clean scores of a victim differed."""
    seen = [results.records[c["cell"]]["diagnostics"].get("stochastic", 0.0) for c in clean_cells(results, row.key)]
    if max(seen, default=0.0) <= MOST_NOISE:
        return []
    why = "two looks at the same clean scores differ, so its ranks and the attacks' gradients are partly chance"
    return [flag("stochastic", why, difference=max(seen))]


def _budget(results: Results, cells: Sequence[Columns]) -> list[Flag]:
    """Attacks that returned more than their budget; the host projected them."""
    worst: dict[str, float] = {}
    applied: dict[str, float] = {}
    for c in cells:
        achieved, label = results.records[c["cell"]]["achieved"], c["attack_label"]
        if (over := achieved.get("overshoot", 0.0)) > OVERSHOOT:
            worst[label] = max(over, worst.get(label, 0.0))
        # Where a budget is at least one edit, or rounded up to whole users, more than ε may be right.
        exact = c["epsilon"] and not SURFACES[c["surface"]].whole_units
        if exact and (over := achieved.get("epsilon", 0.0) / c["epsilon"]) > OVERSHOOT:
            applied[label] = max(over, applied.get(label, 0.0))
    why = "the attack returned a perturbation outside its budget; the host projected it before measuring"
    found = [flag(f"{label} exceeded its budget {over:.3g}x", why, overshoot=over) for label, over in worst.items()]
    why = "what was measured is larger than ε: these numbers are not of this budget"
    return found + [flag(f"{label} measured at {over:.3g}x ε", why, achieved=over) for label, over in applied.items()]


def _rounding(results: Results, row: Row, entry: Mapping[str, Any] | None) -> list[Flag]:
    """Poisonings that spent more than ε because a budget counts whole users."""
    found = []
    for c in results.cells:
        if row_of(c) != row.key or c["stage"] != "train" or not results.ok(c) or not c["epsilon"]:
            continue
        if entry is None or (threat_of(c) == threat_of(entry) and c["epsilon"] <= entry["epsilon"]):
            achieved = results.records[c["cell"]]["achieved"]
            users, share = achieved.get("fake_users"), achieved.get("epsilon", 0.0)
            if users and share > MOST_ROUNDING * c["epsilon"]:
                why = f"{c['attack_label']}: ⌈ε · real users⌉ is more than ε of them"
                name = f"budget rounded up to {users:.0f} user{'s' if users > 1 else ''}"
                found.append(flag(name, why, epsilon=c["epsilon"], achieved=share))
    return list({str(note): note for note in found}.values())


def _gradients(results: Results, row: Row, cells: Sequence[Columns]) -> list[Flag]:
    """Attacks whose gradient was zero or not finite for more than 1% of the hit users; for more than half of them under
    an ensemble, the row has no rank.
    """
    found: dict[str, float] = {}
    for c in cells:
        diagnosis = results.records[c["cell"]]["diagnostics"]
        share = diagnosis.get("zero_gradient_share", 0.0) + diagnosis.get("non_finite_share", 0.0)
        if share > MOST_ZERO:
            found[c["attack_label"]] = max(share, found.get(c["attack_label"], 0.0))
            row.ranked = row.ranked and not (c.get("kind") == ENSEMBLE and share > MOST_BLIND)
    why = "the gradient is zero or not finite for hit users: the attack was blind there, robustness is not shown"
    return [flag("hidden gradients", why, attack=label, share=share) for label, share in found.items()]


def _single_draws(results: Results, cells: Sequence[Columns]) -> list[Flag]:
    """Gradient attacks that looked once at a victim which draws at test time."""
    found: dict[str, Flag] = {}
    for c in cells:
        seen = results.records[c["cell"]]["diagnostics"]
        noisy = seen.get("stochastic", 0.0) > MOST_NOISE
        if noisy and c.get("kind") in (GRADIENT, "minimum-norm") and seen.get("expectation", 1) <= 1:
            why = f"{c['attack_label']} takes one draw of a victim that draws at test time: set its expectation"
            found[c["attack_label"]] = flag("attack without expectation", why, expectation=1)
    return list(found.values())


def _idle_losses(results: Results, key: RowKey, cells: Sequence[Columns], metric: str, clean: float) -> Iterator[Flag]:
    """Attacks that raise the host's loss clearly and change no rank to speak of."""
    before = {c["seed"]: results.per_user(c, metric) for c in clean_cells(results, key)}
    groups: dict[tuple[str, float], list[Columns]] = {}
    for c in cells:
        if c.get("kind") in (GRADIENT, ENSEMBLE):
            groups.setdefault((c["attack_label"], c["epsilon"]), []).append(c)
    for (label, epsilon), group in groups.items():
        rises, falls = [], []
        for c in sorted(group, key=lambda c: c["seed"]):
            arrays, first, now = results.arrays(c["cell"]), before.get(c["seed"]), results.per_user(c, metric)
            if first is None or now is None:
                continue
            rises.append(arrays["loss"].astype(float) - arrays["clean_loss"])
            falls.append(first - now)
        if not rises or epsilon == 0:
            continue
        rise, fall = interval(np.stack(rises)), interval(np.stack(falls))
        level = float(np.mean([results.arrays(c["cell"])["clean_loss"].mean() for c in group]))
        if rise.low > 0 and rise.mean > 0.1 * abs(level) and fall.mean < LEAST_GAP * clean:
            why = f"{label} at ε={epsilon:g} raises the loss and leaves the ranks: the loss is not what is ranked"
            yield flag("loss up, ranks unchanged", why, rise=rise.mean, clean_loss=level, fall=fall.mean)
