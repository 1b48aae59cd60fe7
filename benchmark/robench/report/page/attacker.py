"""Says in words what the attacker of a ranking table may do and wants."""

from __future__ import annotations

from collections.abc import Iterator

from robench.api.errors import counted
from robench.api.threat import Threat


def describe_attacker(threat: Threat, epsilon: float) -> str:
    """Returns sentences on the attacker's means, budget, limits and goal.

    Args:
        threat: the threat model.
        epsilon: the largest budget of the attacker.
    """
    return " ".join([_deed(threat, epsilon), *_limits(threat), *_goal(threat)])


def _deed(threat: Threat, epsilon: float) -> str:
    """Returns a sentence on what is changed, and how much ε allows."""
    relative = threat.scale == "relative"
    if threat.surface == "embedding":
        what = "the length of this shift" if threat.norm == "l2" else "each entry of this shift"
        unit = "times the size of the model's own inputs" if relative else "in the units of the embedding"
        text = f"adds a shift to the embedded input of each user, and {what} is at most {epsilon:g} {unit}"
    elif threat.surface == "parameters":
        unit = "relative to the length of the table's rows" if relative else "in the units of the table"
        text = (
            "adds one shift to the embedding tables, which all users share, and each row moves by at most "
            f"{epsilon:g}, {unit}"
        )
    elif threat.surface == "features":
        unit = "times the size of the vectors" if relative else "in the units of the vectors"
        whose = "the items to promote" if threat.goal == "promote" else "all items"
        what = "the length of each shift" if threat.norm == "l2" else "each entry"
        text = f"shifts the vectors of {whose}, the same for all users, and {what} is at most {epsilon:g} {unit}"
    elif threat.surface == "history":
        budget = f"{100 * epsilon:g}% of the items" if relative else counted(int(epsilon), "item")
        end = threat.rules is not None and threat.rules.place == "end"
        verbs, place = ("appends", "to") if end else ("inserts, deletes or substitutes", "in")
        text = f"{verbs} up to {budget} {place} the history of each user"
    elif threat.surface == "text":
        text = f"rewrites titles of items, and changes up to {100 * epsilon:g}% of the {threat.norm} of a title"
    elif threat.knowledge is not None:
        text = (
            "adds fake users to the training data before the model is fitted, up to "
            f"{100 * epsilon:g}% of the number of real users"
        )
    else:
        return f"Up to {100 * epsilon:g}% of the training data is changed before the model is fitted."
    return f"The attacker {text}."


def _limits(threat: Threat) -> Iterator[str]:
    """Yields sentences on the rules for edits, or on what the attacker knows."""
    if (rules := threat.rules) is not None:
        if rules.plausible is not None:
            yield (
                f"An inserted item must co-occur with the history as often as the {rules.plausible:g} quantile of "
                "genuine next items."
            )
        if rules.white_box:
            yield "The attacker may use gradients of the model."
    if (knowledge := threat.knowledge) is not None:
        if knowledge.data < 1:
            yield f"The attacker sees the training items of {100 * knowledge.data:g}% of the real users."
        if knowledge.model != "none":
            numbers = "other" if knowledge.model == "surrogate" else "the same"
            yield f"The attacker may fit the victim's model and defence, with {numbers} random numbers."


def _goal(threat: Threat) -> Iterator[str]:
    """Yields a sentence on the goal, or nothing for random changes, which have none.

    Fake users have no cutoff as their goal: the metric of a table chooses one.
    """
    poisons = threat.knowledge is not None
    if threat.goal == "promote":
        where = "high in the lists" if poisons else f"in the top {threat.k}"
        yield f"The attacker wants the target items {where} of all users."
    elif threat.goal == "demote":
        where = "low in the lists" if poisons else f"out of the top {threat.k}"
        yield f"The attacker wants the target items {where} of all users."
    elif poisons:
        yield "The attacker wants the lists of real users to get worse."
    elif threat.norm != "share":
        yield f"The attacker wants each user's held-out item out of the user's top {threat.k}."
