"""The version of the API, and the stability levels of its names.

docs/reference/api.md lists every name with its level and says what a level promises.
"""

from __future__ import annotations

from typing import Literal

Level = Literal["stable", "experimental"]
# MAJOR.MINOR. A change that breaks plugins that use only stable names increases MAJOR. A new name, or a change that
# breaks plugins that use experimental names, increases MINOR.
API_VERSION = "1.0"
EXPERIMENTAL = frozenset(
    {
        # attacks on titles, and models with slopes with respect to tokens
        "TextAttack",
        "TextAttackTests",
        "TextConfig",
        "TextOracle",
        "TokenModel",
        "Tokens",
        # attacks on the interactions of real users
        "Corruption",
        "CorruptionTests",
        # attacks on the membership of users
        "MembershipAttackTests",
        # models that were trained elsewhere
        "TrainedModelTests",
        # plugins that follow a run
        "ReportTests",
        "robench_data_read",
        "robench_victim_progress",
    }
)


def level_of(name: str) -> Level:
    """Returns the stability level of a public name or of a hook.

    Public names are those of ``robench.api`` and ``robench.testing``. The function does not know other names: names of
    ``robench.pretrained``, and names that only a module inside a package offers, are always experimental.
    """
    return "experimental" if name in EXPERIMENTAL else "stable"


def written_for(version: str = API_VERSION) -> str:
    """Returns the requirement of a plugin for a version, such as ``>=1.0,<2``."""
    return f">={version},<{int(version.partition('.')[0]) + 1}"
