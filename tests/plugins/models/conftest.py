"""Provides the fixtures for the tests of the model llm."""

import pytest
from tests.tiny_decoder import tiny_decoder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Returns the folder of a small decoder."""
    return str(tiny_decoder(tmp_path_factory.mktemp("llama")))


@pytest.fixture(scope="module")
def precise(tmp_path_factory):
    return str(tiny_decoder(tmp_path_factory.mktemp("gpt2"), "gpt2"))
