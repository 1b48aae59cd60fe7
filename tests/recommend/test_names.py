"""Tests how robench finds items by the names that people write."""

import pytest

from robench.api.data import Catalogue, Item
from robench.api.errors import UserError
from robench.recommend.names import Titles

FILMS = [
    ("1", Item("Toy Story", 1995)),
    ("2", Item("Heat", 1995)),
    ("3", Item("Matrix, The", 1999)),
    ("4", Item("Batman", 1966)),
    ("5", Item("Batman", 1989)),
    ("6", Item("Good, the Bad and the Ugly, The (Buono, il brutto, il cattivo, Il)", 1966)),
    ("7", Item("10,000 BC", 2008)),
    ("8", Item("Seven (a.k.a. Se7en)", 1995)),
    ("9", Item("9", 2009)),
    ("300", Item("Quiz Show", 1994)),
    ("51662", Item("300", 2007)),
    ("11", Item("Hamlet", 2000)),
    ("12", Item("Hamlet", 2000)),
    ("13", Item("Net, The (1995)")),
    ("14", Item("Dracula", 1931)),
    ("15", Item("Dracula (Bram Stoker's Dracula)", 1992)),
    ("x-16", Item()),
    ("17", Item("Crouching Tiger, Hidden Dragon", 2000)),
    ("18", Item("Crouching Tiger", 1990)),
    ("19", Item("Avventura, L' (Adventure, The)", 1960)),
]


@pytest.fixture(scope="module")
def films() -> Titles:
    return Titles(Catalogue(tuple(name for name, _ in FILMS), tuple(item for _, item in FILMS)))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Toy Story, Heat", "1 2"),
        ("  toy   STORY ,,heat,", "1 2"),
        ("the matrix", "3"),
        ("Matrix, The", "3"),
        ("Matrix,The, Heat", "3 2"),
        ("The Matrix (1999), matrix, the(1999)", "3"),
        ("Good, the Bad and the Ugly, The", "6"),
        ("The Good, the Bad and the Ugly (1966), Heat", "6 2"),
        ("il Buono, il brutto, il cattivo", "6"),
        ("10,000 BC, 1", "7 1"),
        ("Seven, Se7en (1995)", "8"),
        ("batman (1989), Batman (1966)", "5 4"),
        ("9", "9"),
        ("id:300, 300 (2007)", "300 51662"),
        ("The Net, net, the (1995)", "13"),
        ("Dracula", "14"),
        ("Bram Stoker's Dracula", "15"),
        ("X-16", "x-16"),
        ("Crouching Tiger, Hidden Dragon", "17"),
        ("Crouching Tiger, Heat", "18 2"),
        ("L'Avventura, the adventure", "19"),
        ("Heat, Toy Story, Heat", "2 1"),
    ],
)
def test_titles_are_read_as_people_write_them(films, text, ids):
    assert [films.catalogue.ids[item] for item in films.read(text, "--items")] == ids.split()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Batman", "'Batman' is the name of 2 items (write 'Batman (1966)' or 'Batman (1989)')"),
        ("Heat, 300", "'300' is the name of 2 items (write 'Quiz Show (1994)' or '300 (2007)')"),
        ("Hamlet", "(write 'id:11' for Hamlet (2000) or 'id:12' for Hamlet (2000))"),
        ("Toy Stori, Heat", "no item 'Toy Stori' among 20 (did you mean 'Toy Story (1995)'?)"),
        ("Heat, Matrx, The", "no item 'Matrx, The' among 20 (did you mean 'Matrix, The (1999)'"),
        ("Heat, qqqqqq", "no item 'qqqqqq' among 20 (titles and ids are those of the data set)"),
        ("", "no item is named"),
    ],
)
def test_names_that_do_not_say_which_item(films, text, message):
    with pytest.raises(UserError) as caught:
        films.read(text, "--items")
    assert str(caught.value).startswith("--items: ")
    assert message in str(caught.value)


def test_every_item_has_a_name_of_its_own(films):
    assert [films.called(films.unique(item)) for item in range(len(FILMS))] == [[item] for item in range(len(FILMS))]
    assert films.shown(2) == "Matrix, The (1999)"
    assert films.shown(13) == "Net, The (1995)"
    assert films.shown(16) == "x-16"
