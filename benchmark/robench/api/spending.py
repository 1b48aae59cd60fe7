"""Describes what a component may spend at services outside this machine.

A model declares the most that it may spend, and the host shows this amount before a run.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spending:
    """An amount of requests, tokens and money.

    Args:
        requests: the number of requests, including repeated ones.
        tokens: the number of tokens that the service reads and writes.
        cost: the price of these tokens, in the currency of the component's prices.
    """

    requests: int = 0
    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Spending) -> Spending:
        """Returns the sum of two amounts."""
        return Spending(self.requests + other.requests, self.tokens + other.tokens, self.cost + other.cost)

    def exceeds(self, limit: Spending) -> bool:
        """Returns whether any of the three amounts is larger than that of ``limit``."""
        return self.requests > limit.requests or self.tokens > limit.tokens or self.cost > limit.cost

    def at_most(self, limit: Spending) -> Spending:
        """Returns the smaller of two amounts, for each of the three amounts."""
        return Spending(min(self.requests, limit.requests), min(self.tokens, limit.tokens), min(self.cost, limit.cost))

    def __str__(self) -> str:
        """Returns the amounts as text for people.

        For example: ``40 requests, 9,000 tokens, cost 0.12``.
        """
        return f"{self.requests:,} requests, {self.tokens:,} tokens, cost {self.cost:,.2f}"
