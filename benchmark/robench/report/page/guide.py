"""Holds the definitions that the page explains under "How to read this"."""

from __future__ import annotations

from dataclasses import dataclass

DOCS = "../../docs"  # the documentation of a checkout, seen from ``results/NAME``


@dataclass(frozen=True)
class Term:
    """A term with its definition, and the page of the documentation that says more.

    Args:
        id: the id of the element.
        name: the term.
        meaning: the definition.
        link: the address of the page.
    """

    id: str
    name: str
    meaning: str
    link: str


_READING = f"{DOCS}/guide/reading-a-leaderboard.md"
_STATISTICS = f"{DOCS}/reference/statistics.md"
TERMS = (
    Term(
        "term-epsilon",
        "ε",
        "The budget of an attack: the largest shift of an embedding, number of edits, or share of fake users. "
        "The host enforces it. A relative ε is a multiple of the size of a victim's own inputs.",
        f"{DOCS}/reference/threat-models.md",
    ),
    Term(
        "term-auto",
        "auto",
        "The standard ensemble: a fixed list of attacks that nobody tunes. The number after @ is the version of the "
        "list. An attack in words such as pgd[norm=l2] is a single attack with its settings.",
        f"{DOCS}/reference/threat-models.md#auto",
    ),
    Term(
        "term-metric",
        "ndcg@10",
        "A metric of lists of 10 items between 0 and 1, like hr@10, recall@10 and mrr@10. It is high if the held-out "
        "item of a user is near the top. Metrics with the prefix t- are about the target items of an attack.",
        f"{DOCS}/guide/reading-a-leaderboard.md#a-row",
    ),
    Term(
        "term-lambda",
        "λ",
        "The weight of the clean loss when a defence trains. λ = 1 is the undefended twin; a smaller λ gives more "
        "weight to the defence.",
        f"{DOCS}/reference/defences.md",
    ),
    Term(
        "term-worst",
        "worst case",
        "The value that remains under the worst outcome of all attacks of a table. If every user is attacked alone, "
        "the worst outcome of each user counts; otherwise, the single attack with the worst mean counts.",
        f"{_READING}#a-row",
    ),
    Term(
        "term-rank",
        "rank (range)",
        "The place by the worst case. The range in brackets holds all ranks that the data allow: rows whose ranges "
        "overlap are not separated. Rows without a rank show nothing about robustness.",
        f"{_READING}#rank-and-its-range",
    ),
    Term(
        "term-p",
        "p",
        "The p-value of the difference between a defended row and its undefended twin, paired over users and seeds, "
        "and adjusted for the number of defended rows.",
        f"{_STATISTICS}#the-test",
    ),
    Term(
        "term-verdict",
        "verdict",
        "A row gains or loses if p is below 5%. Otherwise it is undecided, and the verdict says how many seeds or "
        "users would decide. Unlike p, the interval in a verdict is not adjusted for the number of defended rows. So a "
        "row may be undecided although its interval does not contain 0.",
        f"{_READING}#p-and-verdict",
    ),
    Term(
        "term-twin",
        "twin",
        "The undefended victim of the same model, data and seed. It is the row with the defence none.",
        f"{_READING}#what-to-look-at-first",
    ),
    Term(
        "term-flags",
        "flags",
        "Warnings that are computed from the cells, never typed in. They name attacks that were too weak, victims "
        "that hide their gradients, and rows with too little data.",
        f"{DOCS}/reference/results.md#flags",
    ),
)
TARGET_TERMS = (
    Term(
        "term-percentile",
        "t-percentile",
        "The mean place of the target items in the lists of users, from 0 (last) to 1 (first). An attack that promotes "
        "the targets raises it, so a small rise is good for the defender.",
        f"{DOCS}/guide/poisoning.md#3-run-it-and-read-it",
    ),
    Term(
        "term-shift",
        "shift and null control",
        "The shift is the value under the attack less the value without it. The null control is the interval of the "
        "shifts that retraining alone would cause. A shift outside this interval is more than retraining explains.",
        f"{DOCS}/reference/results.md#poisoning-against-its-null-control",
    ),
)  # of tables about target items
PRIVACY_TERMS = (
    Term(
        "term-auroc",
        "AUROC",
        "The probability that an attack gives a user of the training data a higher score than another user. Guessing "
        "has .5. If the interval lies above .5, the attack has told members apart.",
        f"{DOCS}/guide/privacy.md",
    ),
    Term(
        "term-eps-dp",
        "eps_dp",
        "The bound on what a differentially private fit tells about one user. A smaller one promises more, and adds "
        "more noise. It is not ε, the budget of an attack.",
        f"{DOCS}/guide/privacy.md",
    ),
)  # of boards with attacks on membership or private fits
WITHOUT_RANKS = ("term-metric", "term-twin", "term-flags")  # the terms of a board without a ranking table


def choose_terms(*, ranked: bool, targets: bool, private: bool) -> list[Term]:
    """Returns the terms that a board uses.

    Args:
        ranked: whether the board has a ranking table.
        targets: whether a ranking table is about target items.
        private: whether the board has attacks on membership or private fits.
    """
    terms = [term for term in TERMS if ranked or term.id in WITHOUT_RANKS]
    return [*terms, *(TARGET_TERMS if targets else ()), *(PRIVACY_TERMS if private else ())]
