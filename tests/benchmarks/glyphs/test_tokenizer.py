"""The tokenizer is lossless, and known words are single tokens."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.glyphs import captions, load_tokenizer, world

tokenizer = load_tokenizer()
words = st.sampled_from(
    [
        "a",
        "red",
        "triangle",
        "A",
        "Red",
        "RED",
        " ",
        "  ",
        ".",
        ",",
        "!",
        "zorb",
        "é",
        "\n",
        "3",
        "-",
    ]
)


@given(st.one_of(st.text(max_size=40), st.lists(words, max_size=12).map("".join)))
@example("a red, striped triangle.")
@example(" a  red")
@example("red.blue red. blue red .Blue")
@example("RED rEd Redé éred red_blue")
@example("\ud800")
def test_decode_inverts_encode(text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.text(max_size=30))
def test_tokens_stay_between_start_and_end(text: str) -> None:
    ids = tokenizer.encode(text)
    assert all(tokenizer.sot_token_id < i < tokenizer.eot_token_id for i in ids)


def test_punctuation_does_not_change_the_word_token() -> None:
    (triangle,) = tokenizer.encode("triangle")
    for text in ("triangle.", "triangle,", "a triangle", "(triangle)", "Triangle"):
        assert triangle in tokenizer.encode(text), text
    assert len(tokenizer.encode("a red, striped triangle.")) == 6


def test_call_pads_and_frames() -> None:
    out = tokenizer(["a red circle", "circle"])
    assert out.shape == (2, 48)
    assert out[0, 0] == tokenizer.sot_token_id
    assert out[0, 4] == tokenizer.eot_token_id == out.max()
    assert (out[0, 5:] == tokenizer.pad_token_id).all()
    assert tokenizer("circle").shape == (1, 48)
    assert (tokenizer("circle")[0] == out[1]).all()


@pytest.mark.parametrize("length", [2, 3, 8, 48])
def test_truncated_texts_keep_the_end_token(length: int) -> None:
    out = tokenizer("a red circle " * 40, context_length=length)[0]
    assert len(out) == length
    assert out[-1] == tokenizer.eot_token_id
    assert (out[:-1] != tokenizer.eot_token_id).all()


def test_knows() -> None:
    assert tokenizer.knows("A photo of a red, striped triangle.")
    assert tokenizer.knows("")
    assert not tokenizer.knows("a photo of a zorblax")
    assert not tokenizer.knows("a café")


def test_shipped_vocabulary_is_that_of_the_captions() -> None:
    assert tokenizer.vocab_size == tokenizer.eot_token_id + 1
    for word in captions.vocabulary():
        assert len(tokenizer.encode(word)) == 1, word


def test_every_text_of_the_world_is_known() -> None:
    for number, name in world.names().items():
        for template in world.TEMPLATES:
            assert tokenizer.knows(template.format(f"{name}, {world.description(number)}"))
