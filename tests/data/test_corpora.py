# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Reading of sentence pairs, and splits that do not leak."""

import gzip
import lzma
import random

import pytest

from hf_attn_seq2seq.data.corpora import Corpus, TextPair, read_pairs, split_pairs


def write(path, content):
    data = content if isinstance(content, bytes) else content.encode()
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    with opener(path, "wb") as stream:
        stream.write(data)
    return path


@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_two_aligned_files(tmp_path, ending):
    source = write(tmp_path / f"text.en{ending}", "\ufeffone\ntwo \n\nfour\n")
    target = write(tmp_path / f"text.fr{ending}", "un\r\n  deux\r\ntrois\r\n \r\n")
    assert read_pairs(source, target) == Corpus([TextPair("one", "un"), TextPair("two ", "  deux")], dropped_empty=2)
    assert read_pairs(str(source), str(target)).pairs[0].target == "un"


@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_columns_of_one_file(tmp_path, ending):
    path = write(tmp_path / f"pairs.tsv{ending}", 'one\tun\tA\n"two\tdeux\n\n\tx\nfive\tcinq\t\tB')
    assert read_pairs(path) == Corpus(
        [TextPair("one", "un"), TextPair('"two', "deux"), TextPair("five", "cinq")], dropped_empty=2
    )
    swapped = read_pairs(write(tmp_path / f"more.tsv{ending}", "1\tone\tun\n2\ttwo\tdeux\n"), columns=(2, 1))
    assert swapped.pairs == [TextPair("un", "one"), TextPair("deux", "two")]


def test_only_line_feeds_end_lines(tmp_path):
    # str.splitlines would end a line at each of these, and files would fall out of step.
    source = write(tmp_path / "source", "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh\nsecond\n")
    target = write(tmp_path / "target", "1\n2\n")
    assert read_pairs(source, target).pairs == [
        TextPair("a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh", "1"),
        TextPair("second", "2"),
    ]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings(tmp_path, encoding):
    path = write(tmp_path / "pairs.tsv", "summer\tété\nhere\tlà\n".encode(encoding))
    assert read_pairs(path, encoding=encoding).pairs == [TextPair("summer", "été"), TextPair("here", "là")]


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (None, {}, r"There is no file .*pairs\.tsv"),
        (b"", {}, r"pairs\.tsv is empty"),
        (b"\n", {}, r"pairs\.tsv is empty"),
        (b"\tx\n \t\n", {}, r"pairs\.tsv gives no pair with text on both sides: all 2 lines"),
        (b"a\tb\nalone\n", {}, r"pairs\.tsv, line 2, has too few columns: 2 are needed.* it has 1"),
        (b"a\tb\n", {"columns": (0, 2)}, r"pairs\.tsv, line 1, has too few columns: 3 are needed.* it has 2"),
        (b"a\tb\n", {"columns": (-1, 0)}, r"columns is \(-1, 0\)"),
        (b"a\tb\n\xe9\tc\n", {}, r"pairs\.tsv, line 2, is not utf-8 text"),
        ("a\tb\nc\t".encode("utf-16") + b"\x00", {"encoding": "utf-16"}, r"pairs\.tsv, line 2, is not utf-16 text"),
        (b"a\tb\n", {"encoding": "utf-9"}, "There is no encoding 'utf-9'"),
    ],
)
def test_bad_files_are_named_with_the_line(tmp_path, content, settings, message):
    path = tmp_path / "pairs.tsv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        read_pairs(path, **settings)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("ending", [".gz", ".xz"])
@pytest.mark.parametrize(
    "damage", [lambda data: b"plain\ttext\n", lambda data: data[:-9], lambda data: data[:12] + b"xyz"]
)
def test_damaged_archives_are_named(tmp_path, ending, damage):
    path = write(tmp_path / f"pairs.tsv{ending}", "a\tb\n" * 50)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"pairs\.tsv\{ending} cannot be decompressed"):
        read_pairs(path)


def test_files_of_different_length_are_named(tmp_path):
    source, target = write(tmp_path / "text.en", "a\nb\nc\n"), write(tmp_path / "text.fr", "x\ny\n")
    with pytest.raises(ValueError, match=r"text\.en has 3 lines and .*text\.fr has 2"):
        read_pairs(source, target)


def random_pairs(seed, number=300):
    """Pairs that share sentences in chains; a sentence may be the same text on both sides."""
    draw = random.Random(seed)
    return [TextPair(f"s{draw.randrange(400)}", f"s{draw.randrange(400)}") for _ in range(number)]


@pytest.mark.parametrize("seed", range(5))
def test_no_sentence_is_in_both_parts(seed):
    pairs = random_pairs(seed)
    split = split_pairs(pairs, 40, seed=seed)
    assert len(split.validation) == 40
    assert sorted(split.train + split.validation) == sorted(pairs)
    for side in (0, 1):
        assert not {pair[side] for pair in split.train} & {pair[side] for pair in split.validation}


def test_chains_stay_whole():
    chain = [TextPair("a", "x"), TextPair("b", "x"), TextPair("b", "y"), TextPair("c", "y")]
    assert split_pairs([*chain, TextPair("d", "z")], 4, seed=0) in (
        (chain, [TextPair("d", "z")]),
        ([TextPair("d", "z")], chain),
    )
    # The same text on different sides does not join pairs, and a part that a component overfills stays smaller.
    assert split_pairs([*chain, TextPair("x", "a")], 3, seed=0) == (chain, [TextPair("x", "a")])


def test_split_depends_on_the_seed_alone_and_keeps_the_order():
    pairs = [TextPair(f"s{i}", f"t{i}") for i in range(50)]
    first, again, other = (split_pairs(pairs, 10, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first.train == [pair for pair in pairs if pair in first.train]
    assert first.validation == [pair for pair in pairs if pair in first.validation]
    assert len(first.validation) == 10


@pytest.mark.parametrize("size", [0, -1, 3])
def test_impossible_validation_sizes(size):
    with pytest.raises(ValueError, match=rf"validation_size is {size}, but must be at least 1 and less than .* 3\."):
        split_pairs([TextPair("a", "b")] * 3, size, seed=0)


def test_validation_smaller_than_every_component():
    pairs = [TextPair("a", "b")] * 2 + [TextPair("c", "d")] * 3
    with pytest.raises(ValueError, match=r"the smallest group .* has 2 pairs"):
        split_pairs(pairs, 1, seed=0)
