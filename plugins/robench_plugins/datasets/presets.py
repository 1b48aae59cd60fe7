"""Published statistics of news, courses, health and social data.

The data set ``synthetic`` has a preset for each. Each preset holds the published numbers with their sources, and the
settings that give these numbers. The test of the presets measures every number in the drawn data. Numbers that no
source states are not among them: they follow from the settings, and docs/guide/domains.md says which these are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MIND = "Wu et al., MIND, ACL 2020"
LANCER = "Bae et al., LANCER, AAAI 2023"
DATAREC = "DataRec, sisinflab, 2025"
XUETANGX = "Zhang et al., AAAI 2019"
EDX = "curricu.me, edX enrolments, January 2023"
FUN = "FUN-MOOC, statistics of 2017"
MICRON = "Yang et al., MICRON, IJCAI 2021"
IMS = "IMS Health 2010, in Clinical Correlations 2011"
EPINIONS = "Richardson et al., ISWC 2003, soc-Epinions1"


@dataclass(frozen=True)
class Statistic:
    """A published number.

    Args:
        value: the number.
        source: where the number, or the numbers from which it is computed, are published.
    """

    value: float
    source: str


@dataclass(frozen=True)
class Preset:
    """The statistics of one kind of data, and the settings that give them.

    Args:
        published: the published numbers by name. ``mean`` is the number of interactions per user, ``cold`` the share of
            users with fewer than five, ``item_gini`` and ``user_gini`` are Gini coefficients of the interactions per
            item and per user, ``below_mean`` is the share of items with fewer interactions than the mean,
            ``first_to_16th`` is the popularity of the first item over that of the 16th, ``gone`` is the share of items
            whose last interaction is less than two days after the first, ``new_items`` is the share of items that
            appear during the log, and ``repeated`` is the share of interactions whose item the user already has.
        settings: the values of the settings by name.
    """

    published: Mapping[str, Statistic]
    settings: Mapping[str, Any]


PRESETS: Mapping[str, Preset] = {
    "news": Preset(
        published={
            "mean": Statistic(24_155_470 / 1_000_000, MIND),
            "cold": Statistic(0.0, MIND),  # users were sampled among those with at least five clicks in six weeks
            "gone": Statistic(0.85, LANCER),
            "item_gini": Statistic(0.840, DATAREC),  # of MIND-small
        },
        settings={  # 6% of MIND-small, which has 50,000 users and 65,238 articles
            "users": 3_000,
            "items": 3_914,
            "interactions_per_user": 24.16,
            "fewest": 5,
            "spread": 1.0,
            "factors": 4,
            "skew": 2.3,
            "new_items": 1.0,
            "lifetime": 1.1,
            "days": 42.0,
        },
    ),
    "courses": Preset(
        published={
            "mean": Statistic(458_454 / 82_535, XUETANGX),
            "below_mean": Statistic(0.80, EDX),
            "new_items": Statistic(94 / (94 + 136), FUN),  # new courses, and courses with another session
        },
        settings={  # 5% of the users and half of the 1,302 courses
            "users": 4_127,
            "items": 651,
            "interactions_per_user": 5.55,
            "fewest": 1,
            "spread": 1.0,
            "skew": 1.06,
            "new_items": 0.41,
            "days": 365.0,
        },
    ),
    "health": Preset(
        published={
            "mean": Statistic(15_032 * 11.866 / 6_350, MICRON),
            # Consecutive visits share a set of medicines with Jaccard 1/2, so 2/3 of a later visit's medicines repeat.
            "repeated": Statistic((15_032 - 6_350) / 15_032 * 2 / 3, MICRON),
            "first_to_16th": Statistic(131.2 / 36.3, IMS),
        },
        settings={  # 40% of the patients and all 151 classes of medicines
            "users": 2_540,
            "items": 151,
            "interactions_per_user": 28.09,
            "fewest": 2,  # every patient has two visits
            "spread": 0.6,
            "skew": 0.95,
            "repeated": 0.385,
            "repeats": "all",
            "days": 365.0,
        },
    ),
    "social": Preset(
        published={
            "mean": Statistic(508_837 / 60_341, EPINIONS),
            "item_gini": Statistic(0.792, DATAREC),
            "user_gini": Statistic(0.764, DATAREC),
            "repeated": Statistic(0.0, EPINIONS),  # a graph without multiple edges
        },
        settings={  # 5% of the 60,341 users who trust somebody, and of the 51,957 whom somebody trusts
            "users": 3_017,
            "items": 2_598,
            "interactions_per_user": 8.43,
            "fewest": 1,
            "spread": 1.96,
            "skew": 1.65,
            "days": 365.0,
        },
    ),
}
