"""Enforces the limits on requests, tokens and cost of one victim."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robench.api.errors import ServiceError
from robench.api.spending import Spending

PER_MESSAGE = 64  # more tokens than a chat template adds per message, a system prompt of its own included
MILLION = 1_000_000
_ALONE = threading.Lock()


@dataclass(frozen=True)
class Prices:
    """The prices of a million tokens.

    Args:
        read: the price of a million tokens of prompts.
        written: the price of a million tokens of answers.
    """

    read: float
    written: float

    def spending(self, read: int, written: int) -> Spending:
        """Returns the tokens of a request and their cost, without the request itself."""
        return Spending(0, read + written, (read * self.read + written * self.written) / MILLION)


def most_read(messages: Sequence[Mapping[str, str]]) -> int:
    """Returns an upper bound on the number of tokens in messages.

    A token stands for at least one byte of the text.
    """
    return sum(len(message["content"].encode()) + PER_MESSAGE for message in messages)


class Caps:
    """The limits of one victim, and what it has spent.

    The most that a request may take is reserved before the request is sent. So no limit is ever exceeded, even if
    several threads send requests. If a server does not report its tokens, the reserved amount counts as spent.

    Args:
        limit: the most that may be spent.
        prices: the prices of tokens.

    Attributes:
        spent: what is spent or reserved.
    """

    def __init__(self, limit: Spending, prices: Prices) -> None:
        self.limit, self.prices = limit, prices
        self.spent = Spending()
        self._lock = threading.Lock()

    @classmethod
    def of_process(cls, key: str, limit: Spending, prices: Prices) -> Caps:
        """Returns the limits of this process for a key, which are made only once.

        The process of a victim makes the victim's model again after the fit. What the fit has spent must still count.

        Args:
            key: a string that is the same for identical models.
            limit: the most that may be spent.
            prices: the prices of tokens.
        """
        with _ALONE:
            return _CAPS.setdefault(key, cls(limit, prices))

    def reserve(self, read: int, written: int) -> Spending:
        """Reserves the most that a request may take and returns this amount.

        Args:
            read: the maximum number of tokens of the prompt.
            written: the maximum number of tokens of the answer.

        Raises:
            ServiceError: if the request might exceed a limit.
        """
        most = self.prices.spending(read, written)
        with self._lock:
            after = self.spent + most + Spending(requests=1)
            if after.exceeds(self.limit):
                name = next(
                    name for name in ("requests", "tokens", "cost") if getattr(after, name) > getattr(self.limit, name)
                )
                raise ServiceError(
                    f"the next request may exceed max_{name} = {getattr(self.limit, name):,}",
                    hint=f"answers so far are kept; raise max_{name} to continue",
                )
            self.spent = after
        return most

    def settle(self, reserved: Spending, read: int, written: int) -> None:
        """Replaces a reserved amount with the tokens that a request took."""
        taken = self.prices.spending(read, written)
        with self._lock:
            self.spent += Spending(0, taken.tokens - reserved.tokens, taken.cost - reserved.cost)


_CAPS: dict[str, Caps] = {}
