"""Decoders, which score titles, write answers and can be adapted by LoRA."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robench.api.errors import DataError
from robench.api.usage import count_usage
from robench.pretrained.causal import CausalModel
from robench.pretrained.gguf import EXTRA, PACKAGED
from robench.pretrained.weights import first_line

ATTENTION = ("q_proj", "v_proj", "c_attn", "query_key_value", "qkv_proj")  # the names of layers in several networks
WORDS_AT_A_TIME = 64
AGREEMENT = 1e-3  # the largest change of a title's score, in nats, that other titles in the sequence may cause


@dataclass(frozen=True, eq=False)
class Soft:
    """A title in which each place may hold a mixture of tokens.

    Args:
        vectors: the vectors that the network reads at the l places of the title, float [l, d].
        choice: the weight of each token's log-likelihood at each place, float [l, V] for V different tokens.
    """

    vectors: Tensor
    choice: Tensor


@dataclass(frozen=True, eq=False)
class Prefix:
    """A prompt that the network has already read.

    Args:
        cache: the keys and values of the prompt, in the network's own format.
        length: the number of tokens in the prompt.
        log: the log-likelihood of each of V possible tokens after the prompt, float [V].
    """

    cache: Any
    length: int
    log: Tensor

    @property
    def nbytes(self) -> int:
        """The size of the keys and values in bytes."""
        parts = (part for layer in getattr(self.cache, "layers", ()) for part in vars(layer).values())
        return sum(part.nbytes for part in parts if isinstance(part, Tensor))


class Decoder(CausalModel):
    """A causal language model that scores titles after a prompt."""

    @classmethod
    def load(cls, weights: str = PACKAGED) -> Self:
        """Loads a decoder by package name, folder, GGUF file or hub id.

        Raises:
            DataError: if files or packages are missing, if files are broken, if the model is not a decoder, or if the
                network cannot score several titles independently.
        """
        decoder = super().load(weights)
        decoder.check_independence()
        return decoder

    def check_independence(self) -> None:
        """Checks that titles after the same prompt do not change each other's scores.

        Raises:
            DataError: if the scores change, or if the network cannot read several titles in one sequence.
        """
        row = [token % len(self.table()) for token in range(3, 10)]
        prompt, first, second = row[:3], row[3:5], row[4:7]
        with torch.no_grad():
            try:
                together = self.log_likelihoods(self.embed(torch.tensor(prompt)), [first, second])
                ids = torch.tensor([prompt + second])
                log = self.net(input_ids=ids, use_cache=False).logits[0, 2:-1].log_softmax(1)
            except (RuntimeError, TypeError, ValueError) as error:
                raise DataError(f"titles cannot share a prompt: {first_line(error)}", where=str(self.folder)) from None
        alone = float(log[torch.arange(3), ids[0, 3:]].mean())
        if not abs(float(together[1]) - alone) < AGREEMENT:
            raise DataError("the network does not read titles after one prompt independently", where=str(self.folder))

    def log_likelihoods(self, prompt: Tensor, titles: Sequence[Sequence[int]]) -> Tensor:
        """Returns the mean log-likelihood of each title's tokens after a prompt.

        The network reads the prompt and all titles in one sequence. Every title gets the positions directly after the
        prompt, and a mask hides the other titles from each title. The result is differentiable.

        Args:
            prompt: the vectors of the prompt's tokens, float [tokens, d]. A prompt has at least one token.
            titles: the tokens of each title. A title has at least one token.

        Returns:
            The mean log-likelihood of each title, in nats, float [titles].
        """
        if not titles:
            return prompt.new_zeros(0)
        device, length = prompt.device, len(prompt)
        fed = [token for title in titles for token in title[:-1]]
        owner = torch.tensor([-1] * length + [n for n, title in enumerate(titles) for _ in title[:-1]], device=device)
        steps = [*range(length), *(length + step for title in titles for step in range(len(title) - 1))]
        order = torch.arange(len(owner), device=device)
        visible = (owner == -1) | (owner == owner.unsqueeze(1))
        mask = torch.zeros(len(owner), len(owner), dtype=prompt.dtype, device=device)
        mask.masked_fill_(~(visible & (order <= order.unsqueeze(1))), torch.finfo(prompt.dtype).min)
        vectors = torch.cat([prompt, self.embed(torch.tensor(fed, dtype=torch.int64, device=device))])
        count_usage(tokens=len(vectors))
        logits = self.net(
            inputs_embeds=vectors.unsqueeze(0),
            attention_mask=mask[None, None],
            position_ids=torch.tensor([steps], device=device),
            use_cache=False,
            logits_to_keep=order[length - 1 :],  # the states of the prompt's last token and of all title tokens
        ).logits[0]
        place, at = [], 1
        for title in titles:
            place += [0, *range(at, at + len(title) - 1)]
            at += len(title) - 1
        targets = torch.tensor([token for title in titles for token in title], device=device)
        losses = cross_entropy(logits[torch.tensor(place, device=device)], targets, reduction="none")
        parts = losses.split([len(title) for title in titles])  # type: ignore[no-untyped-call]  # torch has no type
        return torch.stack([-part.mean() for part in parts])

    def prefix(self, prompt: Tensor) -> Prefix:
        """Reads a prompt once, so that titles can be scored one by one.

        Gradients are not computed.

        Args:
            prompt: the vectors of the prompt's tokens, float [tokens, d].
        """
        count_usage(tokens=len(prompt))
        with torch.no_grad():
            output = self.net(inputs_embeds=prompt.unsqueeze(0), use_cache=True, logits_to_keep=1)
        return Prefix(output[self.cache_argument], len(prompt), output.logits[0, -1].log_softmax(0))

    def log_likelihood_after(self, prefix: Prefix, title: Sequence[int], soft: Soft | None = None) -> Tensor:
        """Returns the mean log-likelihood of one title's tokens after a prompt: float [].

        Args:
            prefix: the prompt, as returned by ``prefix``.
            title: the tokens of the title. A title has at least one token.
            soft: a soft title of the same length that is scored instead of ``title``. The result has a gradient only if
                ``soft`` is given.
        """
        log = prefix.log.unsqueeze(0)
        if len(title) > 1:
            count_usage(tokens=len(title) - 1)
            fed = torch.tensor(title[:-1], dtype=torch.int64, device=log.device)
            with torch.set_grad_enabled(soft is not None):
                logits = self.net(
                    inputs_embeds=(self.embed(fed) if soft is None else soft.vectors[:-1]).unsqueeze(0),
                    position_ids=torch.arange(len(fed), device=log.device).unsqueeze(0) + prefix.length,
                    use_cache=True,
                    **{self.cache_argument: copy.deepcopy(prefix.cache)},  # the network changes the cache
                ).logits[0]
                log = torch.cat([log, logits.log_softmax(1)])
        if soft is None:
            return log[torch.arange(len(title)), torch.tensor(title)].mean()
        return (log * soft.choice).sum(1).mean()

    def tails(self, words: Sequence[Sequence[int]]) -> Tensor:
        """Returns the joint log-likelihood of each word's tokens after the first.

        The result is float [words], in nats. The network reads each word at the beginning of a text, after the special
        tokens that start a text. If there are none, the word follows the token that ends a text. Gradients are not
        computed.

        Args:
            words: the tokens of each word. A word has at least one token.
        """
        end = self.tokenizer.eos_token_id
        front = self.start or ([] if end is None else [end])
        parts = []
        for at in range(0, len(words), WORDS_AT_A_TIME):
            rows = [[*front, *word] for word in words[at : at + WORDS_AT_A_TIME]]
            ids = torch.tensor([row + [0] * (max(map(len, rows)) - len(row)) for row in rows], device=self.net.device)
            count_usage(tokens=sum(map(len, rows)))
            with torch.no_grad():
                log = self.net(input_ids=ids, use_cache=False).logits[:, :-1].log_softmax(2)
            own = log.gather(2, ids[:, 1:, None]).squeeze(2)
            place = torch.arange(1, ids.shape[1], device=ids.device)
            lengths = torch.tensor([[len(row)] for row in rows], device=ids.device)
            parts.append(own.masked_fill((place <= len(front)) | (place >= lengths), 0.0).sum(1))
        return torch.cat(parts) if parts else self.table().new_zeros(0)

    def answers(self, request: str, count: int, tokens: int, temperature: float = 0.8) -> list[str]:
        """Draws answers to a request and returns the first line of each answer.

        Each token is drawn from the smallest set of likeliest tokens that together have a probability of at least 0.95.
        The draws come from torch's global generator. The request is formatted as a chat if the tokenizer has a chat
        template. The first line of an answer may be empty.

        Args:
            request: the request.
            count: the number of answers.
            tokens: the maximum number of tokens per answer.
            temperature: the temperature of the draws.
        """
        if self.tokenizer.chat_template:
            chat = [{"role": "user", "content": request}]
            text = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        else:
            text = f"{request}\n"
        ids = torch.tensor([self.ids(text, special=True)], device=self.net.device)
        end = self.tokenizer.eos_token_id
        filler = 0 if end is None else end
        with torch.no_grad():
            output = self.net.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=temperature,
                top_p=0.95,
                top_k=0,
                num_return_sequences=count,
                max_new_tokens=tokens,
                pad_token_id=filler,
            )
        written = output[:, ids.shape[1] :]
        count_usage(tokens=ids.numel(), written=int((written != filler).sum()))
        texts = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        return [(text.strip().splitlines() or [""])[0].strip() for text in texts]

    def adapt(self, rank: int) -> dict[str, nn.Parameter]:
        """Adds LoRA to the attention layers and returns the new parameters by name.

        LoRA adds a product of two small matrices to a weight matrix (Hu et al., ICLR 2022). The setting α of LoRA is
        2 · rank, so the product is multiplied by α / rank = 2. The first matrix is drawn from torch's global generator.
        The second matrix is zero, so the network's output does not change at first.

        Args:
            rank: the rank of the product.

        Raises:
            DataError: if the package peft is not installed, or if the network has no attention layer with a known name.
        """
        try:
            from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415  # an extra, and slow to import
        except ImportError:
            raise DataError("LoRA needs the package peft", hint=EXTRA) from None
        modules = {name.rpartition(".")[2]: part for name, part in self.net.named_modules()}
        names = [name for name in ATTENTION if name in modules]
        if not names:
            raise DataError("no attention layer of a known name", where=str(self.folder))
        transposed = type(modules[names[0]]).__name__ == "Conv1D"  # GPT-2 has one layer for queries and values
        options = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names, fan_in_fan_out=transposed)
        inject_adapter_in_model(options, self.net)
        self.net.eval()
        return {name: part for name, part in self.net.named_parameters() if part.requires_grad}
