"""Tests that ``llm`` passes the conformance tests.

The module also tests that chat marks in titles do not become special tokens.
"""

import numpy as np
import pytest
from tests.tiny_decoder import MARK

from robench.engine.measure import MeasuredVictim
from robench.testing import TorchModelTests
from robench_plugins.models.llm.model import Llm
from robench_plugins.models.llm.prompt import Template

pytest.importorskip("transformers")


def test_a_title_brings_in_no_mark_of_a_chat(weights):
    model = Llm.make(weights=weights)
    ids = model.decoder.ids
    template = Template(f"{MARK}a {{profile}} {{history}}{MARK}", ids, [], 200)
    mark = ids(MARK, special=True)
    prompt = template.fill([ids(MARK), ids(" Heat")], profile=MARK)
    assert (
        prompt.ids == mark + ids("a ") + ids(MARK) + ids(" ") + ids("-") + ids(MARK) + ids("\n-") + ids(" Heat") + mark
    )
    assert not prompt.cut
    short = template.fill([ids(" first"), ids(" x" * 100), ids(" last")])
    assert short.cut
    assert len(short.ids) + template.room <= 200


class TestLlm(TorchModelTests):
    model = Llm
    settings = {
        "lora_rank": 2, "learning_rate": 0.01, "train_rows": 64, "history_items": 3, "candidates": 6,
        "validation_users": 20, "fusion_weight": 0.5,
    }  # fmt: skip
    board = {"candidates": 4}
    test_the_tables_reach_the_scores_without_being_changed = None  # llm offers no tables to attacks

    @pytest.fixture
    def victim(self, world):
        """Returns a victim that is measured on 16 of the 60 users.

        The checks of the host pass the history of every user through the decoder dozens of times.
        """
        return MeasuredVictim(world.model, world.history, world.test, np.arange(16), 0)

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _weights(cls, precise):
        cls.settings = {**cls.settings, "weights": precise}


class TestLlmWithoutLora(TestLlm):
    settings = {"score": "mean-likelihood", "history_items": 3, "candidates": 6, "validation_users": 20}
    # Without LoRA, only the retriever is trained, so these three tests do not apply.
    test_a_poisoned_row_reaches_the_training_loss = None
    test_the_same_dropout_in_every_pass = None
    test_validation_selects_and_training_moves_the_weights = None
