# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Gold alignments: both formats, both directions, and what is wrong with a line."""

from pathlib import Path

import pytest

from hf_attn_seq2seq.evaluation import GoldLinks, gold_from_pharaoh, read_gold, read_gold_links
from tests.data.corpus_files import write


LINE = '{"id": 1, "en": "the cats .", "fr": "les chats gris .", "sure": [[0, 0], [2, 3]], "possible": [[1, 2]]}\n'


def test_gold_with_its_sentences_in_both_directions(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(LINE + "\n" + LINE, "utf-8")
    first, second = read_gold(path)
    assert first == second
    assert (first.source, first.target) == (["the", "cats", "."], ["les", "chats", "gris", "."])
    assert first.links == GoldLinks(frozenset({(0, 0), (2, 3)}), frozenset({(0, 0), (2, 3), (1, 2)}))
    turned = read_gold(path, "fr", "en")[0]
    assert turned.source == first.target
    assert turned.links == first.links.turned() == GoldLinks({(0, 0), (3, 2)}, {(0, 0), (3, 2), (2, 1)})


@pytest.mark.parametrize("compression", ["", ".gz", ".xz"])
def test_lines_end_at_line_feeds_alone_in_every_compression(tmp_path: Path, compression: str) -> None:
    line = '{"en": "a", "fr": "b\u2028c\x85d", "sure": [[0, 1]], "possible": []}\r\n'
    [pair] = read_gold(write(tmp_path / f"gold.jsonl{compression}", "\ufeff" + line))
    assert pair.target == ["b", "c", "d"]
    assert read_gold_links(write(tmp_path / f"gold{compression}", "0-1\n")) == [pair.links]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: this is not JSON"),
        ("[]", "line 2: this is not a JSON object"),
        ('{"en": "a", "sure": []}', "line 2: there is no sentence 'fr': the line has 'en', 'sure'"),
        ('{"en": "a", "fr": " ", "sure": [], "possible": []}', "there is no sentence 'fr'"),
        ('{"en": "a", "fr": "b", "sure": []}', "'possible' is not a list"),
        ('{"en": "a", "fr": "b", "sure": [[0, true]], "possible": []}', r"'sure' holds \[0, True\]"),
        ('{"en": "a", "fr": "b", "sure": [[0, 0, 0]], "possible": []}', r"'sure' holds \[0, 0, 0\]"),
        ('{"en": "a", "fr": "b", "sure": [], "possible": [[0, 1]]}', "0-1 lies outside sentences of 1 and 1 words"),
    ],
)
def test_bad_gold(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(LINE + line, "utf-8")
    with pytest.raises(ValueError, match=message):
        read_gold(path)


def test_gold_that_is_empty_or_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text("\n")
    with pytest.raises(ValueError, match="holds no alignment"):
        read_gold(path)
    path.write_bytes(LINE.encode() + "é".encode("latin-1"))
    with pytest.raises(ValueError, match=r"gold\.jsonl, line 2, is not UTF-8 text"):
        read_gold(path)
    for read in (read_gold, read_gold_links):
        with pytest.raises(ValueError, match=r"There is no file .*nowhere"):
            read(tmp_path / "nowhere")


def test_marked_links() -> None:
    links = gold_from_pharaoh("0-0 1p1\t1?2 10-3? 2-3")
    assert links.sure == {(0, 0), (2, 3)}
    assert links.possible == {(0, 0), (1, 1), (1, 2), (10, 3), (2, 3)}
    assert gold_from_pharaoh("") == (frozenset(), frozenset())


@pytest.mark.parametrize("text", ["0", "0-", "0x1", "0-1p", "a-b", "0--1", "0-0 1:2"])
def test_bad_marked_links(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gold.pharaoh"
    path.write_text("0-0\n" + text)
    with pytest.raises(ValueError, match=r"line 2: .* is not a link: write 0-2 for a sure link"):
        read_gold_links(path)


def test_lines_of_marked_links_keep_their_places(tmp_path: Path) -> None:
    path = tmp_path / "gold.pharaoh"
    path.write_text("0-0\n\n1p0\n")
    assert [len(links.possible) for links in read_gold_links(path)] == [1, 0, 1]
