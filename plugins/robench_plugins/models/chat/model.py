"""A hosted language model that reranks the candidates of a retriever."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from robench.api import BaseConfig, DataError, IntArray, Interactions, Item, Model, Rng, Surface, TrainData
from robench.api.models.base import ColdItem
from robench.api.models.prompted import PromptedModel
from robench.api.spending import Spending
from robench.api.usage import count_usage
from robench_plugins.models.chat.answer import Ranking, read_ranking
from robench_plugins.models.chat.caps import PER_MESSAGE, Caps, Prices
from robench_plugins.models.chat.desk import Desk
from robench_plugins.models.chat.messages import LONGEST_TITLE, QUOTED, TASK, Question, write_question
from robench_plugins.models.chat.service import ISSUER, KEY, Clock, Service, key_for
from robench_plugins.models.history_model import HistoryModel
from robench_plugins.models.llm.prompt import load_template
from robench_plugins.models.llm.retrieval import RETRIEVERS, retrieve, scores_in_order

FORMS = 3  # the largest number of forms in which one attempt sends a request
PER_TITLE = 4 * LONGEST_TITLE + 64  # the most bytes of a title in a prompt, with its number and delimiters


class Chat(PromptedModel, Model):
    """Reranks the candidates of a retriever with a hosted language model.

    The model behind any OpenAI-compatible interface (vLLM, llama.cpp, Ollama or a provider) reads the user's last
    titles and the numbered titles of the candidates. It answers with the numbers in order, as in Hou et al. (ECIR 2024,
    "Large language models are zero-shot rankers"). The candidates follow in this order. Candidates that the answer
    leaves out come next, and then all other items, both in the order of the retriever. The score of an item is minus
    its place. Only the retriever is fitted.

    A refusal, or an answer without the number of any candidate, leaves the order of the retriever. Every record counts
    the ``prompts``, those that were ``cut`` (with titles shortened), and the ``answers``. ``refused`` and
    ``unreadable`` answers are unusable. The record also counts ``invented`` and ``repeated`` entries and ``missing``
    candidates. Tokens are those of all answers, even if they come from the cache. ``requests`` counts what was sent.

    Requests have temperature 0 and a fixed seed, and ask for JSON by a schema. If the server rejects the schema,
    requests ask for it in words only. Answers are cached by their content, so a second run sends nothing. Failed
    requests are repeated with growing pauses. The run ends if the server does not recover, or if a limit of this victim
    is reached. The key comes from the environment variable ``OPENAI_API_KEY``. It is sent only to the server in
    ``OPENAI_BASE_URL``, or to OpenAI if that variable is not set.
    """

    class Config(BaseConfig):
        """Settings of the server, the prompt and the limits."""

        base_url: str = Field(
            default="http://127.0.0.1:8080/v1", description="Address of an OpenAI-compatible interface, without a key"
        )
        model: str = Field(default="default", min_length=1, description="Name of the model at the server")
        retriever: Literal["ease", "item-knn", "user-knn"] = Field(
            default="ease", description="Model that chooses the candidates, fitted with its default settings"
        )
        candidates: int = Field(default=20, ge=1, description="Items per user that the language model ranks")
        history_items: int = Field(default=10, ge=1, description="Number of most recent titles in the prompt")
        prompt: str | None = Field(
            default=None, description="Template with {history} and optionally {profile}, or a file that holds one"
        )
        structure: Literal["auto", "schema", "plain"] = Field(
            default="auto", description="Whether JSON is asked for by a schema, in words (plain), or as the server can"
        )
        answer_tokens: int = Field(default=256, ge=1, description="Greatest length of an answer, in tokens")
        seed: int = Field(default=0, ge=0, description="Seed that the server gets")
        timeout: float = Field(default=60.0, gt=0, description="Longest time of an attempt, in seconds")
        attempts: int = Field(default=5, ge=1, le=20, description="Greatest number of attempts per prompt")
        parallel: int = Field(default=1, ge=1, le=64, description="Greatest number of requests at the same time")
        max_requests: int = Field(default=1_000, ge=0, description="Greatest number of requests per victim")
        max_tokens: int = Field(default=5_000_000, ge=0, description="Greatest number of tokens per victim")
        max_cost: float = Field(
            default=1.0, ge=0, description="Greatest cost per victim, in the currency of the prices"
        )
        price_read: float = Field(default=0.0, ge=0, description="Price of a million tokens of prompts")
        price_written: float = Field(default=0.0, ge=0, description="Price of a million tokens of answers")
        validation_users: int = Field(default=50, ge=0, description="Greatest number of users to validate on")

        @field_validator("base_url")
        @classmethod
        def _check_address(cls, value: str) -> str:
            """Returns the address, after checking that it holds no key.

            Raises:
                ValueError: if the value is not an address with http or https, or if it has a user, a query or a
                    fragment.
            """
            try:
                parts = urlsplit(value)
                named = parts.hostname and parts.port != 0
            except ValueError:
                raise ValueError("must be an address such as http://127.0.0.1:8080/v1") from None
            if parts.scheme not in ("http", "https") or not named:
                raise ValueError("must be an address such as http://127.0.0.1:8080/v1")
            if parts.username is not None or parts.query or parts.fragment:
                raise ValueError(f"must hold no user, key or query: the key comes from {KEY} in the environment")
            return value

    config: Config
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"history", "text"})
    reads_text: ClassVar[bool] = True
    follows: ClassVar[bool] = True
    cold_item: ClassVar[ColdItem] = "behind"
    clock: ClassVar[Clock] = Clock()
    retriever: HistoryModel
    _secret: str | None = None

    def reads_profiles(self) -> bool:
        """Returns whether the template asks for the user's profile."""
        return "{profile}" in load_template(self.config.prompt)

    def outside(self) -> str:
        """Returns a digest of the template. Nothing is sent.

        Raises:
            DataError: if the package openai or the key of OpenAI is missing, or if the template cannot be read.
        """
        if find_spec("openai") is None:
            raise DataError("hosted language models need the package openai", hint="pip install 'robench[chat]'")
        base_url = self.config.base_url
        if urlsplit(base_url).hostname == urlsplit(ISSUER).hostname and not key_for(base_url):
            raise DataError(f"{base_url} needs a key", hint=f"set {KEY} in the environment")
        return hashlib.sha256(load_template(self.config.prompt).encode()).hexdigest()

    def declared_spending(self, histories: int | None) -> Spending:
        """Returns the limits, or less if so few histories cannot reach them."""
        limit = self._limit()
        if self.config.candidates == 1:  # A single candidate needs no ranking.
            return Spending()
        if histories is None:
            return limit
        c = self.config
        requests = histories * c.attempts * FORMS
        if self.reads_profiles():  # which may have any length
            return replace(limit, requests=min(requests, limit.requests))
        titles = PER_TITLE * (c.history_items + c.candidates)
        read = titles + 2 * PER_MESSAGE + len((TASK + QUOTED + load_template(c.prompt)).encode())
        most = self._prices().spending(requests * read, requests * c.answer_tokens)
        return (most + Spending(requests)).at_most(limit)

    def _limit(self) -> Spending:
        c = self.config
        return Spending(c.max_requests, c.max_tokens, c.max_cost)

    def _prices(self) -> Prices:
        return Prices(self.config.price_read, self.config.price_written)

    def _make_desk(self) -> Desk:
        """Returns the desk that answers the prompts of this victim."""
        c = self.config
        service = Service(
            c.base_url,
            c.model,
            seed=c.seed,
            answer_tokens=c.answer_tokens,
            structure=c.structure,
            timeout=c.timeout,
            attempts=c.attempts,
            caps=Caps.of_process(c.model_dump_json(), self._limit(), self._prices()),
            clock=self.clock,
        )
        names = ("base_url", "model", "seed", "answer_tokens", "structure")
        return Desk(service, {name: getattr(c, name) for name in names}, c.parallel)

    def fit(self, data: TrainData, rng: Rng) -> None:
        """Fits the retriever. Nothing is sent."""
        self._prepare(data)
        self.retriever.fit(data, rng.child("retriever"))

    def _prepare(self, data: TrainData) -> None:
        self.retriever = RETRIEVERS[self.config.retriever].make()
        self.template = load_template(self.config.prompt)
        self.titles = tuple(item.title for item in data.catalogue.items)
        self._profiles = data.profiles
        self.desk = self._make_desk()

    def rewritten(self, items: Mapping[int, Item]) -> Self:
        """Returns a copy of this model with new titles for some items.

        The new titles are read in histories and as candidates. The copy shares the limits and the answers.

        Args:
            items: the new descriptions, by row of the catalogue.
        """
        model = copy.copy(self)
        titles = list(self.titles)
        for row, item in items.items():
            titles[row] = item.title
        model.titles = tuple(titles)
        return model

    def delimited(self, secret: str) -> Self:
        """Returns a copy of this model that quotes titles between delimiters."""
        model = copy.copy(self)
        model._secret = secret
        return model

    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of the whole catalogue, float32 [B, n_items].

        The score of an item is minus its place in the user's order.
        """
        rows = Interactions.from_rows([history.row(user) for user in users.tolist()], history.n_items)
        return self._rank(rows, users)

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """Returns scores for users outside the training data, float32 [n, n_items]."""
        return self._rank(history, None)

    def candidates(self, users: IntArray, history: Interactions) -> IntArray:
        """Returns the candidates of users, best first.

        The result is int64 [B, candidates], padded with −1.

        Args:
            users: the users, int64 [B].
            history: the histories, one row per real user.
        """
        rows = Interactions.from_rows([history.row(user) for user in users.tolist()], history.n_items)
        return retrieve(self.retriever, rows, users, self.config.candidates)[0]

    def _rank(self, rows: Interactions, users: IntArray | None) -> NDArray[np.float32]:
        """Returns the scores of some histories, float32 [B, n_items].

        Args:
            rows: B histories, one per row.
            users: the user of each history, int64 [B], or None for users who are not in the training data.
        """
        candidates, order, _ = retrieve(self.retriever, rows, users, self.config.candidates)
        known = [-1] * rows.n_users if users is None else users.tolist()
        offered = [padded[padded >= 0] for padded in candidates]
        # Without a history there is nothing to go by, and a single candidate needs no ranking.
        asked = [row for row in range(rows.n_users) if len(rows.row(row)) and len(offered[row]) > 1]
        questions = [self._question(known[row], rows.row(row).tolist(), offered[row].tolist()) for row in asked]
        for row, ranking in zip(asked, self._ask(questions), strict=True):
            own = offered[row][list(ranking.order)]
            offered[row] = np.concatenate([own, offered[row][~np.isin(offered[row], own)]])
        whole = [np.concatenate([own, all_[~np.isin(all_, own)]]) for own, all_ in zip(offered, order, strict=True)]
        places = np.array(whole, dtype=np.int64).reshape(order.shape)
        return scores_in_order(places, 0.0).astype(np.float32)

    def _question(self, user: int, history: Sequence[int], candidates: Sequence[int]) -> Question:
        """Returns the question about one user.

        Args:
            user: the row of the user, or a negative number for a newcomer.
            history: the items of the history, oldest first.
            candidates: the candidates in the order of the retriever.
        """
        profile = self._profiles[user] if 0 <= user < len(self._profiles) else ""
        seen, offered = (
            [self.titles[item] for item in items] for items in (history[-self.config.history_items :], candidates)
        )
        return write_question(self.template, profile, seen, offered, self._secret)

    def _ask(self, questions: Sequence[Question]) -> list[Ranking]:
        """Returns the ranking for each question and counts what went wrong."""
        caps = self.desk.service.caps
        before = caps.spent.requests
        try:
            replies = self.desk.answer(questions)
        finally:
            count_usage(requests=caps.spent.requests - before)
        rankings = []
        for question, reply in zip(questions, replies, strict=True):
            unranked = Ranking((), missing=question.count)
            ranking = unranked if reply.refused else read_ranking(reply.text, question.count)
            rankings.append(ranking)
            count_usage(
                prompts=1,
                cut=int(question.cut),
                answers=1,
                tokens=reply.read,
                written=reply.written,
                refused=int(reply.refused),
                unreadable=int(not reply.refused and not ranking.order),
                invented=ranking.invented,
                repeated=ranking.repeated,
                missing=ranking.missing,
            )
        return rankings

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the learned values of the retriever."""
        return self.retriever.state()

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Restores the retriever."""
        self._prepare(data)
        self.retriever.restore(data, state, rng.child("retriever"))
