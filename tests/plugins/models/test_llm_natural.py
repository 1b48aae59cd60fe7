"""Tests titles with an article at their end."""

import pytest
from tests.tiny_decoder import tiny_decoder

from robench.pretrained import Decoder
from robench_plugins.models.llm.natural import natural_title
from robench_plugins.models.llm.titles import TitleTokenizer

pytest.importorskip("transformers")
TITLES = {
    "Matrix, The": "The Matrix",
    "American Tail, An": "An American Tail",
    "Postman, The (Postino, Il)": "The Postman (Il Postino)",
    "Children, The (Cité des enfants perdus, La)": "The Children (La Cité des enfants perdus)",
    "Avventura, L' (a.k.a. Adventure, The)": "L'Avventura (a.k.a. The Adventure)",
    "Good, the Bad and the Ugly, The": "The Good, the Bad and the Ugly",
    "Seven (a.k.a. Se7en)": "Seven (a.k.a. Se7en)",
    "Girl, Interrupted": "Girl, Interrupted",
    "Theory of A, The Sequel": "Theory of A, The Sequel",
    ", The": ", The",
    "": "",
}


@pytest.mark.parametrize(("written", "natural"), TITLES.items())
def test_articles_move_to_the_beginning_and_every_character_has_its_place(written, natural):
    text, places = natural_title(written)
    assert text == natural
    assert len(places) == len(text)
    assert all(char == (" " if place < 0 else written[place]) for char, place in zip(text, places, strict=True))
    assert natural_title(text)[0] == text


def test_tokens_of_a_moved_article_begin_where_it_is_written(tmp_path):
    decoder = Decoder.load(str(tiny_decoder(tmp_path, words=["The", "Matrix"])))
    natural, plain = (TitleTokenizer(decoder, 40, natural=natural) for natural in (True, False))
    assert natural.tokens_of("Matrix, The") == plain.tokens_of("The Matrix")
    tokens = natural.padded(["Matrix, The", "The Matrix", ""])
    assert tokens.start.tolist() == [[8, 0], [0, 4], [-1, -1]]
    assert tokens.mask.tolist() == [[True, True], [True, True], [False, False]]
