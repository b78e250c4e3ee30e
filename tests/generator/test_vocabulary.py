"""What a network can read of what people type."""

from __future__ import annotations

import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator import Fitted, Vocabulary

NIETZSCHE = Vocabulary.of(string.ascii_letters + string.digits + "\n !\"'(),-.:;=?[]_Æäæéë")
"""The 84 characters of nietzsche.txt."""
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
"""Also unassigned code points and lone surrogates, which a broken client sends."""
SILENT = {"Cc", "Cf", "Mn", "Me", "Cs"}
"""Categories of what a person does not see and is not told about."""


# ---- characters and indices -----------------------------------------------------------------------------------------


@given(st.text(st.sampled_from(NIETZSCHE.characters)))
def test_decoding_gives_back_what_was_encoded(text: str) -> None:
    indices = NIETZSCHE.encode(text)
    assert indices.dtype == "int64"
    assert indices.shape == (len(text),)
    assert NIETZSCHE.decode(indices) == text


@given(st.lists(st.integers(0, 83)))
def test_encoding_gives_back_what_was_decoded(indices: list[int]) -> None:
    assert NIETZSCHE.encode(NIETZSCHE.decode(indices)).tolist() == indices


@given(st.text(min_size=1))
def test_a_text_s_vocabulary_holds_its_characters_once_in_code_point_order(text: str) -> None:
    vocabulary = Vocabulary.of(text)
    assert list(vocabulary.characters) == sorted(set(text))
    assert len(vocabulary) == len(set(text))
    assert all(character in vocabulary for character in text)


def test_indices_follow_the_order_of_the_string_not_the_alphabet() -> None:
    assert Vocabulary("cab").encode("abc").tolist() == [1, 2, 0]


def test_a_character_that_is_not_in_the_vocabulary_is_named() -> None:
    with pytest.raises(KeyError, match="€"):
        NIETZSCHE.encode("5 €")
    assert "€" not in NIETZSCHE


@pytest.mark.parametrize("characters", ["", "aa", "abca"])
def test_a_vocabulary_is_distinct_characters_and_at_least_one(characters: str) -> None:
    with pytest.raises(ValueError, match="distinct"):
        Vocabulary(characters)


# ---- what people type -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "fitted"),
    [
        ("The philosopher", Fitted("The philosopher", (), ())),
        ("“God is dead”", Fitted('"God is dead"', (("“", '"'), ("”", '"')), ())),
        ("it’s ‘he’", Fitted("it's 'he'", (("’", "'"), ("‘", "'")), ())),
        ("truth—a woman…", Fitted("truth--a woman...", (("—", "--"), ("…", "...")), ())),
        ("1886–87", Fitted("1886-87", (("–", "-"),), ())),
        ("naïve café", Fitted("naive café", (("ï", "i"),), ())),
        ("cafe\u0301", Fitted("café", (), ())),
        ("i\u0308", Fitted("i", (("ï", "i"),), ())),
        ("ﬁne œuvre", Fitted("fine oeuvre", (("ﬁ", "fi"), ("œ", "oe")), ())),
        ("Straße à Đà", Fitted("Strasse a Da", (("ß", "ss"), ("à", "a"), ("Đ", "D")), ())),
        ("Łódź", Fitted("Lodz", (("Ł", "L"), ("ó", "o"), ("ź", "z")), ())),
        ("ＦＵＬＬ", Fitted("FULL", (("Ｆ", "F"), ("Ｕ", "U"), ("Ｌ", "L")), ())),
        ("𝔑ietzsche²", Fitted("Nietzsche2", (("𝔑", "N"), ("²", "2")), ())),
        ("God 🙂 is 🙂 dead", Fitted("God  is  dead", (), ("🙂",))),
        ("Ницше", Fitted("", (), ("Н", "и", "ц", "ш", "е"))),
        ("尼采 and I", Fitted(" and I", (), ("尼", "采"))),
        ("5 € & more", Fitted("5   more", (), ("€", "&"))),
        ("a\u200bb\u200cc\u200dd\ufeffe\u2060f", Fitted("abcdef", (), ())),
        ("\u202eright\u200f to left\u202c", Fitted("right to left", (), ())),
        ("soft\u00adhyphen", Fitted("softhyphen", (), ())),
        ("a\tb\u00a0c\u2003d", Fitted("a b c d", (), ())),
        ("null\x00bell\x07", Fitted("nullbell", (), ())),
        ("lone \ud83d half", Fitted("lone  half", (), ())),
        ("❤\ufe0f", Fitted("", (), ("❤",))),
        ("", Fitted("", (), ())),
    ],
    ids=lambda value: ascii(value)[:24] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_someone_types_is_brought_to_the_network_s_characters(typed: str, fitted: Fitted) -> None:
    assert NIETZSCHE.fit(typed) == fitted


def test_a_network_of_lower_case_letters_reads_capitals_as_such() -> None:
    assert Vocabulary.of(string.ascii_lowercase).fit("God É").text == "gode"
    assert Vocabulary.of(string.ascii_uppercase).fit("god é").text == "GODE"
    accented = Vocabulary.of(string.ascii_lowercase + " éæ")
    assert accented.fit("Élan, Æther").text == "élan æther"


@pytest.mark.parametrize(
    ("marks", "fitted"),
    [
        ("’“”", "don’t say “Yes” “no” (“‘so’”)"),
        ("‘’“”", "don’t say “Yes” “no” (“‘so’”)"),
        ("'«»", "don't say «Yes» «no» («'so'»)"),
        ("’„“", "don’t say „Yes“ “no“ („‘so’“)"),
        ("’„”", "don’t say „Yes” „no” („‘so’”)"),
    ],
)
def test_quotation_marks_and_apostrophes_become_those_of_the_book(marks: str, fitted: str) -> None:
    """A keyboard has only the plain ones, and most books only the others."""
    book = Vocabulary.of(string.ascii_letters + " ()" + marks)
    expected = fitted if "‘" in marks else fitted.replace("‘", "’")
    assert book.fit('don\'t say "Yes" “no” ("\'so\'")').text == expected


def test_four_thousand_emojis_are_dropped_and_named_once() -> None:
    assert NIETZSCHE.fit("🙂" * 4096) == Fitted("", (), ("🙂",))
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f3ff"
    assert NIETZSCHE.fit(family * 1024).dropped == tuple(family.replace("\u200d", ""))


def test_a_thousand_accents_on_one_letter_leave_the_letter() -> None:
    assert NIETZSCHE.fit("Z" + "\u0335\u0316\u0489" * 1000 + "algo").text == "Zalgo"


# ---- whatever people type -------------------------------------------------------------------------------------------


@given(ANY_TEXT, st.sampled_from([NIETZSCHE, Vocabulary.of(string.ascii_lowercase), Vocabulary("a"), Vocabulary(" .")]))
def test_only_characters_of_the_vocabulary_come_out(text: str, vocabulary: Vocabulary) -> None:
    assert set(vocabulary.fit(text).text) <= set(vocabulary.characters)


@given(ANY_TEXT)
def test_what_was_fitted_fits(text: str) -> None:
    once = NIETZSCHE.fit(text).text
    assert NIETZSCHE.fit(once) == Fitted(once, (), ())


@given(st.text(st.sampled_from(NIETZSCHE.characters)))
def test_a_text_that_fits_is_left_alone(text: str) -> None:
    assert NIETZSCHE.fit(text) == Fitted(text, (), ())


@given(ANY_TEXT)
def test_a_person_is_told_of_everything_visible_that_was_changed_and_of_nothing_else(text: str) -> None:
    fitted = NIETZSCHE.fit(text)
    foreign = {c for c in unicodedata.normalize("NFC", text) if c not in NIETZSCHE}
    visible = {c for c in foreign if not c.isspace() and unicodedata.category(c) not in SILENT}
    replaced = dict(fitted.replaced)
    assert visible <= {*replaced, *fitted.dropped} <= foreign
    assert not replaced.keys() & set(fitted.dropped)
    assert all(plain and all(c in NIETZSCHE for c in plain) for plain in replaced.values())
    assert len(set(fitted.dropped)) == len(fitted.dropped)
    assert len(replaced) == len(fitted.replaced)


@given(st.text(max_size=30), st.text(max_size=30))
def test_what_is_dropped_takes_nothing_else_along(before: str, after: str) -> None:
    alone = NIETZSCHE.fit(before).text + NIETZSCHE.fit(after).text
    assert NIETZSCHE.fit(f"{before}尼{after}").text == alone


@pytest.mark.parametrize("corpus", ["cafe\u0301 ole\u0301", "25 \u212b"], ids=["decomposed accents", "angstrom sign"])
def test_a_network_that_learnt_a_text_can_be_opened_with_that_text(corpus: str) -> None:
    """`train.py` takes any UTF-8 text as it is, also one in Unicode's decomposed form."""
    assert Vocabulary.of(corpus).fit(corpus) == Fitted(corpus, (), ())
