"""Text comes in whole characters, and never with a part of a stop string."""

from hypothesis import given
from hypothesis import strategies as st

from persona_judge_llm.decoding.text_stream import TextStream
from persona_judge_llm.testing import tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def detokenize(token_ids):
    return TOKENIZER.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def pieces_of(token_ids, stop=()):
    stream = TextStream(detokenize, stop)
    pieces = []
    for token_id in token_ids:
        pieces.append(stream.push(token_id))
        if stream.stop_sequence is not None:
            break
    return [*pieces, stream.close()], stream


texts = st.text(st.sampled_from("ab€😀é \n"), max_size=30)


@given(texts)
def test_pieces_join_to_the_text_and_hold_whole_characters(text):
    pieces, stream = pieces_of(TOKENIZER.encode(text, add_special_tokens=False))
    assert "".join(pieces) == stream.text == text
    assert "".join(stream.pieces) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in p for p in pieces)


@given(texts, st.lists(st.text(st.sampled_from("ab€ "), min_size=1, max_size=4), max_size=3))
def test_text_ends_before_the_first_stop_string_and_no_piece_goes_beyond(text, stop):
    pieces, stream = pieces_of(TOKENIZER.encode(text, add_special_tokens=False), stop)
    shown = "".join(pieces)
    assert not any(s in shown for s in stop)
    assert text.startswith(shown)
    if stream.stop_sequence is None:
        assert shown == text
    else:
        assert text[len(shown) :].startswith(stream.stop_sequence)


def test_a_text_cut_within_a_character_drops_the_half():
    ids = TOKENIZER.encode("ok 😀", add_special_tokens=False)
    pieces, _ = pieces_of(ids[:-1])
    assert "".join(pieces) == "ok "


def test_what_could_begin_a_stop_string_is_held_back_until_it_is_decided():
    stream = TextStream(detokenize, ["END"])
    shown = [stream.push(i) for i in TOKENIZER.encode("xENxEND", add_special_tokens=False)]
    assert shown == ["x", "", "", "ENx", "", "", ""]
    assert stream.stop_sequence == "END"


def test_bytes_that_never_become_a_character_do_not_block_the_stream():
    stray = TOKENIZER.convert_tokens_to_ids(TOKENIZER.tokenize("é"))[1]
    pieces, _ = pieces_of([stray] * 12)
    assert any(pieces[:-1])
