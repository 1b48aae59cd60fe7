import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.api.errors import UserError
from robench.suite.yaml import dump, parse, parse_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5e-05", 5e-05),
        ("8/255", 8 / 255),
        (".5", 0.5),
        ("5.", 5.0),
        ("-2", -2),
        ("0", 0),
        ("-0", 0),
        ("0.5", 0.5),
        ("1e05", 1e5),
        ("10/100", 0.1),
        ("00a", "00a"),
        ("01:30", "01:30"),
        ("05.11.2020", "05.11.2020"),
        ("01-02", "01-02"),
        ("1:30", "1:30"),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("0x10", "0x10"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("1/0", "1/0"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("1e400", "1e400"),
        ("NULL", None),
        ("TRUE", True),
        ("true", True),
        ("~", None),
        ("", None),
        ("mf", "mf"),
    ],
)
def test_words_mean_what_a_person_means(text, value):
    actual = parse(f"a: {text}", "s.yaml").data["a"]
    assert actual == value
    assert type(actual) is type(value)


def test_quoted_words_stay_text():
    assert parse("a: '12'\nb: \"1e-3\"", "s").data == {"a": "12", "b": "1e-3"}


@pytest.mark.parametrize(
    ("text", "line", "place", "hint"),
    [
        ("e: [0,05]", 1, "e[1]: the number 05", "a decimal point, not a comma: write 0.05? text is quoted: '05'"),
        ("a: 1\ne: [0, -1,05]", 2, "e[2]: the number 05", "a decimal point, not a comma: write -1.05?"),
        ("e: [3,000]", 1, "e[1]: the number 000", "no comma in a number: write 3000 or 3.000?"),
        ("e: [a, 012]", 1, "e[1]: the number 012", "write 12, or '012' if it is text"),
        ("e: [012]", 1, "e[0]: the number 012", "write 12, or '012' if it is text"),
        ("e: -03", 1, "e: the number -03", "write -3, or '-03' if it is text"),
        ("e: 05.50", 1, "e: the number 05.50", "write 5.50, or '05.50' if it is text"),
        ("e: 00", 1, "e: the number 00", "write 0, or '00' if it is text"),
        ("e: 05e3", 1, "e: the number 05e3", "write 5e3"),
        ("e: 8/0255", 1, "e: the number 8/0255", "without the zero"),
        ("e: &x 007\nf: *x", 1, "e: the number 007", "write 7, or '007' if it is text"),
        ("05: 1", 1, "a key must be text", "in quotes: '05'"),
        ("{e: 0,05}", 1, "e: a comma ends the value", "a decimal point, not a comma: write 0.05"),
        (
            "{e: 1.234,5}",
            1,
            "e: a comma ends the value",
            "a decimal point, and nothing between thousands: write 1234.5",
        ),
        ("{e: 2,500, f: 1}", 1, "e: a comma ends the value", "no comma in a number: write 2500 or 2.500"),
    ],
)
def test_a_number_that_a_comma_may_have_cut_is_refused(text, line, place, hint):
    with pytest.raises(UserError) as caught:
        parse(text, "s.yaml")
    assert str(caught.value).splitlines()[0].startswith(f"s.yaml:{line}: {place}")
    assert hint in str(caught.value)


def test_lists_of_numbers_without_a_leading_zero_are_read():
    assert parse("e: [0,5, 10, 0.05]\nf: [0, '05']", "s").data == {"e": [0, 5, 10, 0.05], "f": [0, "05"]}


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("a: 1\nmodels\n  - {name: mf}\nb: 2\n", 2, "write 'models: ', with a colon and a space"),
        ("a: 1\nmodels [mf]\nb: 2\n", 2, "write 'models: '"),
        ("d:\n  - name: csv\n    path x.csv\n    user: a\n", 3, "write 'path: '"),
        ("name:t\nmodels: [mf]\n", 1, "a space after the colon: write name: t"),
        ("a: [x\nb: [0]\n", 1, "the list is not closed: write ]"),
        ("a: {x: 1\nb: [0]\n", 1, "the mapping is not closed: write }"),
        ("a: 'x\nb: [0]\n", 1, "the quote is not closed"),
    ],
)
def test_a_mistake_of_syntax_is_told_at_its_own_line(text, line, hint):
    with pytest.raises(UserError) as caught:
        parse(text, "s.yaml")
    assert str(caught.value).startswith(f"s.yaml:{line}: not YAML")
    assert hint in str(caught.value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(value):
    assert parse_scalar(repr(value)) == value


def test_lines_of_every_path():
    tree = parse("name: x\nmodels:\n  - {name: mf}\n  - name: lstm\n    dim: 3\n", "s.yaml")
    assert tree.place(("models", 1, "dim")) == "s.yaml:5"
    assert tree.place(("models", 0, "name")) == "s.yaml:3"
    assert tree.place(("models", 1, "unknown")) == "s.yaml:4"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: 2\na: 3", 3, "duplicate key 'a'"),
        ("a: {x: 1, x: 2}", 1, "duplicate key 'x'"),
        ("a:\n  [1, 2", 2, "not YAML"),
        ("a: b: c", 1, "not YAML"),
        ("\ta: 1", 1, "not YAML"),
        ("a: !!python/object/apply:os.system [echo]", 1, "not allowed"),
        ("a: !mine 3", 1, "not allowed"),
        ("b: 1\na: !!str 12", 2, "the tag !!str is not allowed"),
        ("!!int 3: a", 1, "key must be text"),
        ("!!str a: 3", 1, "the tag !!str is not allowed"),
        ("? [a]\n: b", 1, "a key must be text"),
        ("a: 1\nb: \0", 2, "U+0000 is not allowed"),
        ("a: 1\n---\nb: 2", 2, "not YAML"),
        ("a: [" + "[" * 5000, "", "nested too deeply"),
        ("base: &b {x: 1}\nc:\n  <<: *b", 3, "merge keys"),
        ("1: a", 1, "a key must be text"),
        ("a: &x [*x]", 1, "contains itself"),
    ],
)
def test_traps_are_one_line_with_the_place(text, line, problem):
    with pytest.raises(UserError) as caught:
        parse(text, "s.yaml")
    message = str(caught.value)
    assert message.startswith(f"s.yaml:{line}" if line else "s.yaml: ")
    assert problem in message
    assert "\n" not in message


def test_all_duplicate_keys_are_reported_at_once():
    with pytest.raises(UserError) as caught:
        parse("a: 1\na: 2\nb: 3\nb: 4", "s.yaml")
    assert len(str(caught.value).splitlines()) == 2


def test_an_alias_bomb_is_refused():
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for one, two in zip("abcdef", "bcdefg", strict=True):
        bomb += f"{two}: &{two} [{', '.join(['*' + one] * 10)}]\n"
    with pytest.raises(UserError, match="more than"):
        parse(bomb, "s.yaml")


def test_the_levels_have_a_limit_of_their_own():
    assert parse("[" * 100 + "]" * 100, "s.yaml").data
    with pytest.raises(UserError, match="nested too deeply"):
        parse("[" * 102 + "]" * 102, "s.yaml")


def test_aliases_nested_by_hundreds_are_refused():
    chain = "x0: &x0 {a: [1]}\n" + "".join(f"x{i}: &x{i} {{a: [*x{i - 1}]}}\n" for i in range(1, 600))
    with pytest.raises(UserError, match=r"nested too deeply|more than"):
        parse(chain, "s.yaml")


def test_aliases_are_copies():
    data = parse("a: &a {x: 1}\nb: *a", "s").data
    data["a"]["x"] = 2
    assert data["b"] == {"x": 1}


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), max_size=8)
    | st.sampled_from(
        ["8/255", "1e-3", "09", "012", "-03", "8/05", "05.5", "on", "1:30", "", "~", "1e400", "2020-01-01", "<<", "="]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_dumped_is_read_back(data):
    again = parse(dump({"root": data}), "s.yaml").data["root"]
    assert again == data
    assert repr(again) == repr(data)
