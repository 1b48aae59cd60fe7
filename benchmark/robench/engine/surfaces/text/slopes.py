"""Computes slopes of a text model's loss with respect to the tokens of titles.

A slope is the first-order change of the loss if one token is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from robench.api.attacks.text import TokenSlopes, item_text
from robench.api.models.base import Model
from robench.api.models.tokens import LikelihoodModel, TokenModel, TokenReader, Tokens
from robench.api.models.torch import TorchModel
from robench.api.models.wrapped import Wrapped
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.goal import eligible_targets
from robench.engine.rank.chunk import EvaluationChunk, mask_known
from robench.engine.surfaces.text.goal import PromotionGoal, TitleGoal
from robench.engine.surfaces.text.reader import TextReader

AT_ONCE = 64  # the number of texts that are encoded together


@dataclass(eq=False)
class Sloper:
    """An object that computes slopes for one victim and one goal.

    Args:
        reader: the victim.
        goal: the goal of the attack, which also determines the items with titles that may change.
        costs: the counts of the attack's queries.
        diagnosis: the diagnosis of the attack's gradients.
    """

    reader: TextReader
    goal: TitleGoal
    costs: Costs
    diagnosis: Diagnosis

    def slopes(self, titles: Sequence[str]) -> TokenSlopes | None:
        """Returns the slopes with respect to the tokens of these titles.

        The tokens are those of the titles after the defence has cleaned them. The result is None if the model offers no
        slopes for the goal.
        """
        model = innermost(self.reader.model)
        if isinstance(model, TokenModel):
            return self._through_texts(model, titles)
        if isinstance(model, LikelihoodModel) and isinstance(self.goal, PromotionGoal):
            return self._through_likelihoods(self.goal, titles)
        return None

    def _counted_chunks(self) -> Iterator[EvaluationChunk]:
        for chunk in self.reader.chunks:
            self.costs.queries += len(chunk.users)
            self.costs.gradients += len(chunk.users)
            yield chunk

    def _through_texts(self, model: TokenModel, titles: Sequence[str]) -> TokenSlopes:
        """Computes slopes by the chain rule, through the vectors of the items."""
        attacked, items = self.goal.items, self.reader.catalogue.items
        read = [self.reader.read(title) for title in titles]
        texts = [item_text(replace(items[row], title=title)) for row, title in zip(attacked, read, strict=True)]
        tokens, rows = model.tokens(texts), torch.from_numpy(attacked).to(model.device)
        with torch.no_grad():
            vectors = model.token_table()[tokens.ids]
            texts_now = model.texts.index_copy(0, rows, model.encode(tokens, vectors).to(model.texts))
        by_text = torch.zeros_like(texts_now[rows])
        users = torch.zeros(len(attacked))
        for chunk in self._counted_chunks():
            by_text += self._by_text(model, texts_now, rows, chunk)
            users += self.goal.users(chunk)
        by_text /= users.clamp_min(1).to(by_text).unsqueeze(1)
        by_token = torch.cat(list(_by_tokens(model, tokens, vectors, by_text)))
        self.diagnosis.note(by_token.abs().amax((1, 2)))
        return replace(_token_slopes(model, read, tokens, by_token), spelled=self._spelled(model))

    def _by_text(self, model: TokenModel, texts: Tensor, rows: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns the gradient of each item's loss with respect to the item's vector.

        The loss is summed over the users of the chunk.

        Returns:
            The gradients, float [A, D], for A items with vectors of length D.
        """
        leaf = texts[rows].detach().requires_grad_()
        victim = self.reader.model
        assert isinstance(victim, TorchModel)  # a wrapper of a TorchModel is a TorchModel
        (name,) = (name for name, part in victim.named_buffers() if part is model.texts)
        with torch.enable_grad():
            now = {name: texts.index_copy(0, rows, leaf)}
            losses = self.goal.loss(victim.under(now, lambda: self._scores(victim, chunk)), chunk)
            if len(losses) == 1:
                return torch.autograd.grad(losses[0], leaf)[0]
            own = [torch.autograd.grad(loss, leaf, retain_graph=True)[0][at] for at, loss in enumerate(losses)]
        return torch.stack(own)

    def _scores(self, model: TorchModel, chunk: EvaluationChunk) -> Tensor:
        """Returns the masked scores of a chunk in differentiable form, [B, n_items]."""
        batch = model.queries(chunk.users.numpy(), self.reader.history).to(model.device)
        with self.reader.draws.attack_rng.child("slopes").stream():
            return mask_known(model.score_from(batch, model.embed(batch)), chunk.to(model.device))

    def _through_likelihoods(self, goal: PromotionGoal, titles: Sequence[str]) -> TokenSlopes:
        """Computes slopes with respect to token vectors and to weights of tokens.

        ``LikelihoodModel.softened`` explains the vectors and the weights. The slopes contain only the effect of a title
        on the score of the same item.
        """
        read = [" ".join(self.reader.read(title).split()) for title in titles]
        victim = self.reader.victim(dict(zip(goal.items.tolist(), titles, strict=True)))
        model = innermost(victim)
        assert isinstance(victim, TorchModel)
        assert isinstance(model, LikelihoodModel)  # as in the genuine victim
        tokens, table = model.tokens(read), model.token_table().detach()
        vectors = table[tokens.ids.to(table.device)].requires_grad_()
        choice = one_hot(tokens.ids.to(table.device), len(table)).to(table).requires_grad_()
        leaves, users, worth = (vectors, choice), torch.zeros(len(titles)), table.new_zeros(len(titles))
        sums, ranked_at_all = [torch.zeros_like(leaf) for leaf in leaves], torch.zeros(len(titles), dtype=torch.bool)
        soft = rewrap(victim, model.softened(goal.items.tolist(), tokens, *leaves))
        for chunk in self._counted_chunks():
            with torch.enable_grad():
                scores = self._scores(soft, chunk)
                weights, ranked = self._weights(scores, goal, chunk), self._ranked(victim, goal, chunk)
                value = (scores[:, goal.items] * weights).sum()
                if value.requires_grad:
                    slopes = torch.autograd.grad(value, leaves, allow_unused=True)
                    sums = [old if new is None else old + new for old, new in zip(sums, slopes, strict=True)]
            users += goal.users(chunk)
            worth += torch.where(ranked.to(weights.device), weights, 0.0).sum(0)
            ranked_at_all |= ranked.any(0).cpu() & tokens.mask.any(1)
        share = 1 / users.clamp_min(1).to(table).reshape(-1, 1, 1)
        by_vector, by_choice = (part * share for part in sums)
        size = torch.maximum(by_vector.abs().amax((1, 2)), by_choice.abs().amax((1, 2))).cpu()
        self.diagnosis.note(size[ranked_at_all])
        spelled = self._spelled(model)
        return replace(
            _token_slopes(model, read, tokens, by_vector),
            choice=by_choice.cpu(),
            worth=(worth * share[:, 0, 0]).cpu(),
            spelled=spelled,
            tails=model.tails(list(spelled.values())).to(table).cpu(),
            length_normalised=model.length_normalised,
        )

    def _spelled(self, model: TokenReader) -> dict[str, list[int]]:
        """Returns the tokens of each word in the catalogue's titles, by word.

        Each word is tokenised as the second word of a text. Words without tokens are left out.
        """
        words = sorted({word for item in self.reader.catalogue.items for word in item.title.split()})
        tokens = model.tokens([f"a {self.reader.read(word)}" for word in words])
        rows = [ids[start > 1].tolist() for ids, start in zip(tokens.ids, tokens.start, strict=True)]
        return {word: row for word, row in zip(words, rows, strict=True) if row}

    @staticmethod
    def _weights(scores: Tensor, goal: PromotionGoal, chunk: EvaluationChunk) -> Tensor:
        """Returns the slope of each item's loss with respect to the item's score.

        The result is float [users, items]. The loss is summed over the users. Slopes with respect to the scores of
        other items are left out, because each title is attacked through the loss of the same item.
        """
        leaf = scores.detach().requires_grad_()
        losses = goal.loss(leaf, chunk)
        own = [
            torch.autograd.grad(loss, leaf, retain_graph=True)[0][:, goal.items[at]] for at, loss in enumerate(losses)
        ]
        return torch.stack(own, 1)

    def _ranked(self, model: TorchModel, goal: PromotionGoal, chunk: EvaluationChunk) -> Tensor:
        """Returns whether the model ranks each item for each user, bool [users, items].

        The value is False if the item is known or held out for the user, or if the item is not among the user's
        candidates. Such an item has no slope for the user. The missing slope does not mean that the defence hides a
        gradient.
        """
        counts = eligible_targets(chunk, goal.items) >= 0
        candidates = model.candidates(chunk.users.numpy(), self.reader.history)
        if candidates is not None:
            counts &= torch.from_numpy((candidates[:, :, None] == goal.items).any(1)).to(counts.device)
        return counts


def innermost(model: Model) -> Model:
    """Returns the model inside all wrappers that defences have added."""
    return model.innermost() if isinstance(model, Wrapped) else model


def rewrap(model: TorchModel, inner: TorchModel) -> TorchModel:
    """Returns ``model`` with ``inner`` in place of its innermost model."""
    return model.around(rewrap(model.inner, inner)) if isinstance(model, Wrapped) else inner


def _token_slopes(model: TokenReader, titles: Sequence[str], tokens: Tokens, gradient: Tensor) -> TokenSlopes:
    word = torch.tensor([word_numbers(title, row) for title, row in zip(titles, tokens.start.tolist(), strict=True)])
    table = model.token_table().detach().cpu()
    return TokenSlopes(titles, tokens.ids.cpu(), word, gradient.cpu(), table, model.whole_words())


def _by_tokens(model: TokenModel, tokens: Tokens, vectors: Tensor, by_text: Tensor) -> Iterator[Tensor]:
    """Yields gradients with respect to token vectors, for a few texts at a time.

    The chain rule through the encoder gives the gradients.

    Args:
        model: the model with the encoder.
        tokens: the tokens of A texts, [A, L].
        vectors: the vectors of these tokens, float [A, L, d].
        by_text: the gradient with respect to the encoded vector of each text, float [A, D].

    Yields:
        The gradients of some texts, float [a, L, d].
    """
    for at in range(0, len(vectors), AT_ONCE):
        part = Tokens(*(x[at : at + AT_ONCE] for x in (tokens.ids, tokens.mask, tokens.start)))
        leaf = vectors[at : at + AT_ONCE].detach().requires_grad_()
        with torch.enable_grad():
            encoded = model.encode(part, leaf)
            (slope,) = torch.autograd.grad(encoded, leaf, by_text[at : at + AT_ONCE].to(encoded))
        yield slope * part.mask.unsqueeze(-1).to(slope.device)


def word_numbers(title: str, start: Sequence[int]) -> list[int]:
    """Assigns each token of a title to a word.

    Args:
        title: the title, which is split into words at spaces.
        start: the position of each token's first character.

    Returns:
        For each token, the index of the word that contains the token's first character. The index is −1 if the first
        character is a space or outside the title.
    """
    number, word = [], -1
    for at, char in enumerate(title):
        if not char.isspace() and (at == 0 or title[at - 1].isspace()):
            word += 1
        number.append(-1 if char.isspace() else word)
    return [number[at] if 0 <= at < len(title) else -1 for at in start]
