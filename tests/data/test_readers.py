# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Every reader, in every compression, and what each says of bad files and bad rows."""

import gzip
import hashlib
import json
from contextlib import closing

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_attn_seq2seq.data.grammar import generate_corpus
from hf_attn_seq2seq.data.readers import BadRow, Row, open_source
from hf_attn_seq2seq.data.settings import DataSettings, SourceSettings
from tests.data.corpus_files import write


COMPRESSIONS = ["", ".gz", ".xz"]
PAIRS = [("one", "un"), ("two, three", "deux"), ("été", "l'été")]


def read(tmp_path, source, **data):
    settings = DataSettings(folder=tmp_path, **data)
    with closing(open_source(SourceSettings(**source), settings)) as opened:
        return list(opened.rows)


def pairs_of(rows):
    return [(row.source, row.target) for row in rows]


def parquet_bytes(table):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


TMX = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en"/><body>
{units}
</body></tmx>
"""


def tmx(pairs):
    unit = '<tu><tuv xml:lang="EN-us"><seg>{}</seg></tuv><tuv xml:lang="fr"><seg>{}</seg></tuv></tu>'
    return TMX.format(units="\n".join(unit.format(*pair) for pair in pairs))


def po(pairs):
    entries = ['msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"']
    return "\n\n".join([*entries, *(f'msgid "{source}"\nmsgstr "{target}"' for source, target in pairs)]) + "\n"


FILES = {
    "tsv": lambda pairs: "".join(f"{source}\t{target}\tlicence\n" for source, target in pairs),
    "csv": lambda pairs: "".join(f'"{source}",{target}\r\n' for source, target in pairs),
    "jsonl": lambda pairs: "".join(json.dumps({"source": s, "target": t}) + "\n" for s, t in pairs),
    "parquet": lambda pairs: parquet_bytes(pa.table(dict(zip(("source", "target"), zip(*pairs))))),
    "tmx": tmx,
    "po": po,
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("ending", FILES)
def test_every_format_in_every_compression(tmp_path, ending, compression):
    path = write(tmp_path / f"pairs.{ending}{compression}", FILES[ending](PAIRS))
    settings = DataSettings(folder=tmp_path, source_language="en", target_language="fr")
    with closing(open_source(SourceSettings(file=path.name), settings)) as opened:
        assert pairs_of(opened.rows) == PAIRS
        assert [file.sha256() for file in opened.files] == [hashlib.sha256(path.read_bytes()).hexdigest()]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_two_aligned_files(tmp_path, compression):
    write(tmp_path / f"a.en{compression}", "\ufeffone\ntwo \n\nfour\n")
    write(tmp_path / f"a.fr{compression}", "un\r\n  deux\r\ntrois\r\n \r\n")
    rows = read(tmp_path, {"source": f"a.en{compression}", "target": f"a.fr{compression}"})
    assert rows == [Row("one", "un", 1), Row("two ", "  deux", 2), Row("", "trois", 3), Row("four", " ", 4)]


def test_further_files_beside_the_two(tmp_path):
    for name, text in {
        "s": "a b\nc\n",
        "t": "x y\nz\n",
        "t2": "x\nzz\n",
        "align": "0-0  1-1\n0-0\n",
        "gold": "0-1\n\n",
    }.items():
        write(tmp_path / name, text)
    source = {"source": "s", "target": "t", "references": "t2", "alignment": "align", "possible": "gold"}
    assert read(tmp_path, source) == [
        Row("a b", "x y", 1, ["x"], "0-0 1-1", "0-1"),
        Row("c", "z", 2, ["zz"], "0-0", ""),
    ]


def test_only_line_feeds_end_lines(tmp_path):
    # str.splitlines would end a line at each of these, and files would fall out of step.
    write(tmp_path / "s", "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh\nsecond\n")
    write(tmp_path / "t", "1\n2\n")
    rows = read(tmp_path, {"source": "s", "target": "t"})
    assert pairs_of(rows) == [("a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh", "1"), ("second", "2")]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-32-le", "shift-jis"])
def test_other_encodings(tmp_path, encoding):
    pairs = [("summer", "夏")] if encoding == "shift-jis" else [("summer", "été"), ("here", "là")]
    write(tmp_path / "a.tsv", "".join(f"{s}\t{t}\n" for s, t in pairs).encode(encoding))
    assert pairs_of(read(tmp_path, {"file": "a.tsv", "encoding": encoding})) == pairs
    source = SourceSettings(file="a.tsv", encoding=encoding)
    with closing(open_source(source, DataSettings(folder=tmp_path))) as opened:
        list(opened.rows)
        assert opened.files[0].sha256() == hashlib.sha256((tmp_path / "a.tsv").read_bytes()).hexdigest()


def test_a_first_row_that_names_both_languages_is_a_header(tmp_path):
    write(tmp_path / "a.TSV.GZ", gzip.compress(b"fr\tid\ten\nun\t1\tone\n"))
    languages = {"source_language": "en", "target_language": "fr"}
    assert pairs_of(read(tmp_path, {"file": "a.TSV.GZ"}, **languages)) == [("one", "un")]
    assert len(read(tmp_path, {"file": "a.TSV.GZ"})) == 2
    numbered = {"file": "a.TSV.GZ", "source": 2, "target": 0}
    assert pairs_of(read(tmp_path, numbered, **languages)) == [("en", "fr"), ("one", "un")]


@pytest.mark.parametrize("ending", ["tsv", "csv"])
def test_columns_by_name_and_by_number(tmp_path, ending):
    comma = {"tsv": "\t", "csv": ","}[ending]
    lines = ["id", "fr", "en", "more"], ["1", "un", "one", "une"], ["2", "deux", "two", ""]
    write(tmp_path / f"a.{ending}", "".join(comma.join(cells) + "\n" for cells in lines))
    named = {"file": f"a.{ending}", "source": "en", "target": "fr", "references": ["more"]}
    expected = [Row("one", "un", 2, ["une"]), Row("two", "deux", 3, [""])]
    assert read(tmp_path, named) == expected
    numbered = {"file": f"a.{ending}", "source": 2, "target": 1, "references": 3, "header": True}
    assert read(tmp_path, numbered) == expected


def test_a_quote_is_text_in_tsv_and_a_quote_in_csv(tmp_path):
    write(tmp_path / "a.tsv", '"one\tun"\n')
    write(tmp_path / "a.csv", '"one, ""two""\nthree",un\nfour,quatre\n')
    assert pairs_of(read(tmp_path, {"file": "a.tsv"})) == [('"one', 'un"')]
    assert read(tmp_path, {"file": "a.csv"}) == [Row('one, "two"\nthree', "un", 1), Row("four", "quatre", 3)]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("columns", [{}, {"source": "translation.en", "target": "translation.fr"}])
def test_nested_translations(tmp_path, ending, columns):
    records = [{"id": 1, "translation": {"en": s, "fr": t}} for s, t in PAIRS]
    if ending == "jsonl":
        write(tmp_path / "a.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    else:
        write(tmp_path / "a.parquet", parquet_bytes(pa.Table.from_pylist(records)))
    languages = {} if columns else {"source_language": "en", "target_language": "fr"}
    assert pairs_of(read(tmp_path, {"file": f"a.{ending}", **columns}, **languages)) == PAIRS


def test_references_and_links_of_records(tmp_path):
    record = {"en": "a b", "fr": "x y", "others": ["xx", "yy"], "last": "z", "sure": [[1, 1], [0, 0]], "maybe": "0-1"}
    write(tmp_path / "a.jsonl", json.dumps(record))
    source = {"file": "a.jsonl", "references": ["others", "last"], "alignment": "sure", "possible": "maybe"}
    rows = read(tmp_path, source, source_language="en", target_language="fr")
    assert rows == [Row("a b", "x y", 1, ["xx", "yy", "z"], "0-0 1-1", "0-1")]


def test_tmx_takes_text_without_the_markup_of_other_formats(tmp_path):
    units = (
        '<tu><tuv lang="en-GB"><seg>A <hi>bold</hi> <bpt i="1">&lt;b></bpt>word<ept i="1">&lt;/b></ept>.</seg></tuv>'
        '<tuv xml:lang="de"><seg>x</seg></tuv><tuv xml:lang="fr_CA"><seg>Un &amp; deux</seg></tuv></tu>\n'
        '<tu><tuv xml:lang="en"><seg>only</seg></tuv></tu>'
    )
    write(tmp_path / "a.tmx", TMX.format(units=units))
    rows = read(tmp_path, {"file": "a.tmx", "source": "en", "target": "fr"})
    assert rows == [Row("A bold word.", "Un & deux", 4), BadRow(5, "no fr: it has en")]


def test_tmx_that_grows_by_entities_is_refused(tmp_path):
    write(tmp_path / "a.tmx", '<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY lol "lol">]><tmx>&lol;</tmx>')
    with pytest.raises(ValueError, match="defines the entity 'lol', which is not read for safety"):
        read(tmp_path, {"file": "a.tmx", "source": "en", "target": "fr"})


def test_po_plurals_and_what_gettext_passes_over(tmp_path):
    text = po([("Open", "Ouvrir"), ("Close", "")]) + (
        '\nmsgid "%d file"\nmsgid_plural "%d files"\nmsgstr[0] "%d fichier"\nmsgstr[1] "%d fichiers"\n'
        '\n#, fuzzy\nmsgid "Guess"\nmsgstr "Deviner"\n'
        '\nmsgid "a "\n"long one"\nmsgstr "un "\n"long"\n'
        '\n#~ msgid "Gone"\n#~ msgstr "Parti"\n'
    )
    write(tmp_path / "fr.po", text)
    assert pairs_of(read(tmp_path, {"file": "fr.po"})) == [
        ("Open", "Ouvrir"),
        ("Close", ""),
        ("%d file", "%d fichier"),
        ("%d files", "%d fichiers"),
        ("a long one", "un long"),
    ]


@pytest.mark.parametrize("split", ["train", "validation", "test", "test_compositional"])
def test_grammar_with_its_alignments(tmp_path, split):
    sizes = {"seed": 3, "train_size": 20, "validation_size": 5, "test_size": 6, "compositional_size": 7}
    rows = read(tmp_path, {"grammar": {"split": split, **sizes}})
    expected = getattr(generate_corpus(**sizes), split)
    assert pairs_of(rows) == [(pair.source, pair.target) for pair in expected]
    for row, pair in zip(rows, expected):
        for text, links in ((row.alignment, pair.sure), (row.possible, pair.possible)):
            assert {tuple(map(int, link.split("-"))) for link in text.split()} == links


# Datasets of the Hub


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("streaming", [False, True])
def test_dataset_from_a_local_folder(tmp_path, own_cache, streaming):
    folder = tmp_path / "corpus"
    folder.mkdir()
    write(folder / "train.jsonl", "".join(json.dumps({"translation": {"en": s, "fr": t}}) + "\n" for s, t in PAIRS))
    source = {"hub": "corpus", "streaming": streaming}
    assert pairs_of(read(tmp_path, source, source_language="en", target_language="fr")) == PAIRS
    with pytest.raises(
        ValueError, match=r"corpus:train has no column 'en': choose among translation\.en, translation"
    ):
        read(tmp_path, {**source, "source": "en", "target": "fr"})


@pytest.mark.parametrize("in_splits", [False, True])
def test_dataset_that_was_saved_to_disk(tmp_path, in_splits):
    saved = datasets.Dataset.from_dict(dict(zip(("source", "target"), zip(*PAIRS))))
    if in_splits:
        saved = datasets.DatasetDict(train=saved)
    saved.save_to_disk(tmp_path / "saved")
    assert pairs_of(read(tmp_path, {"hub": "saved"})) == PAIRS
    if in_splits:
        with pytest.raises(ValueError, match="has no split 'dev': choose among train"):
            read(tmp_path, {"hub": "saved", "split": "dev"})


def test_what_the_hub_is_asked_for(tmp_path, monkeypatch):
    asked = []

    def load_dataset(*positional, **named):
        asked.append((positional, named))
        return datasets.Dataset.from_dict({"a": ["one"], "b": ["un"], "c": [1]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = {"hub": "opus", "config": "en-fr", "split": "dev", "revision": "v1", "streaming": True}
    assert read(tmp_path, {**source, "source": "a", "target": "b"}) == [Row("one", "un", 1)]
    assert asked == [(("opus", "en-fr"), {"split": "dev", "revision": "v1", "streaming": True})]


def test_without_network_the_offline_way_is_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"x/y cannot be fetched: there is no network, .* run `hf download x/y "
    ) as raised:
        read(tmp_path, {"hub": "x/y"})
    assert "\n" not in str(raised.value)


# Bad files


def message_of(tmp_path, source, **data):
    with pytest.raises(ValueError) as raised:  # noqa: PT011  (the caller looks at it)
        read(tmp_path, source, **data)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(("lines", "longer"), [((4, 2), "a.en"), ((2, 5), "a.fr")])
def test_files_of_different_length(tmp_path, lines, longer):
    write(tmp_path / "a.en", "x\n" * lines[0])
    write(tmp_path / "a.fr", "x\n" * lines[1])
    said = message_of(tmp_path, {"source": "a.en", "target": "a.fr"})
    assert f"{longer} has {max(lines)} lines" in said
    assert f"has {min(lines)}: the first is longer by {max(lines) - min(lines)}" in said


@pytest.mark.parametrize("ending", ["tsv", "csv", "jsonl", "parquet", "tmx", "po"])
def test_missing_and_empty_files(tmp_path, ending):
    languages = {"source_language": "en", "target_language": "fr"}
    source = {"file": f"a.{ending}"}
    assert f"There is no file {tmp_path / f'a.{ending}'}: check its name" in message_of(tmp_path, source, **languages)
    (tmp_path / f"a.{ending}").touch()
    assert f"a.{ending} is empty" in message_of(tmp_path, source, **languages)
    (tmp_path / f"folder.{ending}").mkdir()
    assert "is a folder" in message_of(tmp_path, {"file": f"folder.{ending}"}, **languages)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "en\tfr\nx\ty\n"),
        ("a.csv", "en,fr\nx,y\n"),
        ("a.parquet", parquet_bytes(pa.table({"en": ["x"], "fr": ["y"]}))),
    ],
)
def test_wrong_column_lists_the_ones_there_are(tmp_path, name, content):
    write(tmp_path / name, content)
    said = message_of(tmp_path, {"file": name, "source": "english", "target": "fr"})
    assert f"{name} has no column 'english': choose among en, fr" in said


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@pytest.mark.parametrize("ending", ["tsv", "csv"])
def test_a_header_in_another_encoding_says_so(tmp_path, ending, encoding):
    write(tmp_path / f"a.{ending}", "français,\tanglais\nun,\tone\n".encode(encoding))
    said = message_of(tmp_path, {"file": f"a.{ending}", "source": "anglais", "target": "français"})
    assert f"a.{ending}, line 1, is not utf-8 text: name the file's encoding, such as encoding: {encoding}" in said


def test_a_header_that_cannot_be_read_says_why(tmp_path):
    write(tmp_path / "a.csv", "en,fr\rone,un\r")
    said = message_of(tmp_path, {"file": "a.csv", "source": "en", "target": "fr"})
    assert "a.csv, line 1: a carriage return within a field" in said


def test_column_names_without_a_header(tmp_path):
    write(tmp_path / "a.tsv", "x\ty\n")
    said = message_of(tmp_path, {"file": "a.tsv", "source": "en", "target": "fr", "header": False})
    assert "its columns have no names: give their numbers" in said
    assert "counted from 0" in message_of(tmp_path, {"file": "a.tsv", "source": -1})


def test_tmx_without_the_languages(tmp_path):
    write(tmp_path / "a.tmx", tmx(PAIRS))
    assert "name source_language and target_language" in message_of(tmp_path, {"file": "a.tmx"})
    said = message_of(tmp_path, {"file": "a.tmx", "source": "en", "target": "it"})
    assert "no unit in both en and it: its languages are en-us, fr" in said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.tmx", "<tmx>\n<body>\n</tmx>", r"a\.tmx, line 3, is not XML \(mismatched tag\)"),
        ("a.tmx", "<tmx/>", r"a\.tmx has no translation unit"),
        ("a.tmx", "<tmx>\n<body>\n", r"a\.tmx ends in the middle of its document"),
        (
            "a.tmx",
            "<tmx>été</tmx>".encode("latin-1"),
            r"invalid token\)\): repair it, or have it declare the encoding",
        ),
        ("a.po", 'msgid "a"\nmsgstr "b"\nmsgstr\n', r"a\.po, line 3, is not gettext PO"),
        ("a.parquet", "PAR1 no table", r"a\.parquet is not a Parquet file"),
    ],
)
def test_files_that_are_not_what_they_are_called(tmp_path, name, content, said):
    write(tmp_path / name, content)
    with pytest.raises(ValueError, match=said):
        read(tmp_path, {"file": name, "source": "en", "target": "fr"})


@pytest.mark.parametrize("ending", [".gz", ".xz"])
@pytest.mark.parametrize(
    "damage", [lambda data: b"plain\ttext\n", lambda data: data[:-9], lambda data: data[:12] + b"xyz"]
)
@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.tmx", "pairs.parquet"])
def test_damaged_archives_are_named(tmp_path, ending, damage, name):
    path = write(tmp_path / f"{name}{ending}", FILES[name.split(".")[1]](PAIRS * 50))
    path.write_bytes(damage(path.read_bytes()))
    said = message_of(tmp_path, {"file": path.name}, source_language="en", target_language="fr")
    assert f"{name}{ending} cannot be decompressed" in said


def test_a_file_in_another_encoding_says_so(tmp_path):
    write(tmp_path / "a.tsv", "plain\tplain\nsummer\tété\n".encode("latin-1"))
    said = message_of(tmp_path, {"file": "a.tsv"})
    assert "a.tsv, line 2, is not utf-8 text (1 of 2 lines are not): name the file's encoding" in said
    assert "encoding: latin-1" in said
    assert "There is no encoding 'utf-9'" in message_of(tmp_path, {"file": "a.tsv", "encoding": "utf-9"})
    write(tmp_path / "b.tsv", "a\tb\nc\t".encode("utf-16") + b"\x00")
    assert "such as encoding: utf-16" in message_of(tmp_path, {"file": "b.tsv"})
    assert "b.tsv, line 2, is not utf-16 text" in message_of(tmp_path, {"file": "b.tsv", "encoding": "utf-16"})


# Bad rows


def bad_rows(tmp_path, source, **data):
    return [row for row in read(tmp_path, source, **data) if isinstance(row, BadRow)]


@pytest.mark.parametrize("ending", ["tsv", "csv", "jsonl"])
def test_one_line_in_another_encoding_is_a_bad_row(tmp_path, ending):
    lines = FILES[ending]([("a", "b")] * 150).encode().splitlines(keepends=True)
    lines[6] = lines[6].replace(b"b", b"\xe9")
    write(tmp_path / f"a.{ending}", b"".join(lines))
    rows = read(tmp_path, {"file": f"a.{ending}"})
    assert len(rows) == 150
    [bad] = [row for row in rows if isinstance(row, BadRow)]
    assert bad.line == 7
    assert "is not utf-8 text here" in bad.reason


def test_one_line_in_another_encoding_of_two_files(tmp_path):
    write(tmp_path / "a.en", "x\n" * 200)
    write(tmp_path / "a.fr", b"x\n" * 99 + b"\xe9\n" + b"x\n" * 100)
    [bad] = bad_rows(tmp_path, {"source": "a.en", "target": "a.fr"})
    assert bad.line == 100
    assert bad.reason.startswith("a.fr is not utf-8 text")


@pytest.mark.parametrize(
    ("line", "damaged"),
    [
        (b'"noir"\n', b'"caf\xe9"\n'),
        (b'msgstr ""\n', b'msgstr "\xe9"\n'),
        (b'msgid "dark"\n', b'msgid "d\xe2rk"\n'),
        (b'"noir"\n', b'"noir"\n\nmsgid "%d"\nmsgid_plural "%ds"\nmsgstr[0] "%d"\nmsgstr[1] "\xe9"\n'),
    ],
)
def test_a_message_in_another_encoding_is_a_bad_row(tmp_path, line, damaged):
    text = po([(f"m{i}", f"n{i}") for i in range(99)]) + '\nmsgid "dark"\nmsgstr ""\n"un "\n"noir"\n'
    content = text.encode() + b'\n# caf\xe9\nmsgid "last"\nmsgstr "derni\xc3\xa8re"\n'
    where = content.rindex(line)
    write(tmp_path / "a.po", content[:where] + damaged + content[where + len(line) :])
    rows = read(tmp_path, {"file": "a.po"})
    [bad] = [row for row in rows if isinstance(row, BadRow)]
    assert bad.line == content[: content.rindex(b'msgid "dark"')].count(b"\n") + (6 if b"plural" in damaged else 1)
    assert "is not utf-8 text here" in bad.reason
    assert [row.target for row in rows if isinstance(row, Row)] == [
        *(f"n{i}" for i in range(99)),
        *(["un noir"] if b"plural" in damaged else []),
        "dernière",  # what is wrong in a comment does no harm
    ]


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("a.tsv", "a\tb\nalone\n", 2, "2 columns are needed, and it has 1"),
        ("a.csv", "a,b\nalone\n", 2, "2 columns are needed, and it has 1"),
        ("a.jsonl", '{"source": "a", "target": "b"}\n{"source": "a"', 2, "not JSON"),
        ("a.jsonl", '["a", "b"]\n', 1, "not a JSON object"),
        ("a.jsonl", '{"source": "a", "b": {"c": 1}}\n', 1, "no 'target': it has source, b.c"),
        ("a.jsonl", '{"en": "a"}\n{"en": "a", "fr": "b"}\n', 1, "no 'target': it has en"),
        ("a.jsonl", '{"translation": null}\n{"translation": {"en": "a", "fr": "b"}}\n', 1, "no 'source'"),
        ("a.jsonl", '{"source": "a", "target": 3}\n', 1, "'3' is not text"),
        ("a.jsonl", '{"source": "a", "target": "\\ud800"}\n', 1, "lone surrogate"),
    ],
)
def test_bad_rows_are_named(tmp_path, name, content, line, reason):
    write(tmp_path / name, content)
    [bad] = bad_rows(tmp_path, {"file": name}, source_language="en", target_language="fr")
    assert bad.line == line
    assert reason in bad.reason


def test_an_unclosed_quote_swallows_one_field_at_most(tmp_path):
    write(tmp_path / "a.csv", 'a,b\n"open,c\n' + "x" * 99 + "\n" + "y,z\n" * 300_000)
    rows = read(tmp_path, {"file": "a.csv"})
    [bad] = [row for row in rows if isinstance(row, BadRow)]
    assert bad.line == 2
    assert rows[0] == Row("a", "b", 1)
    assert rows[-1] == Row("y", "z", 300_003)


@pytest.mark.parametrize(
    ("links", "reason"), [("0-0 1", "is not Pharaoh"), ("0-0 2-0", "points past the words with 2-0"), ("0-9", "past")]
)
def test_bad_alignments(tmp_path, links, reason):
    write(tmp_path / "a.tsv", f"a b\tx\t{links}\n")
    [bad] = bad_rows(tmp_path, {"file": "a.tsv", "alignment": 2})
    assert reason in bad.reason


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_reference_that_is_none_is_none(tmp_path, ending):
    records = [{"source": "a", "target": "b", "more": None}, {"source": "c", "target": "d", "more": "e"}]
    content = (
        parquet_bytes(pa.Table.from_pylist(records)) if ending == "parquet" else "\n".join(map(json.dumps, records))
    )
    write(tmp_path / f"a.{ending}", content)
    rows = read(tmp_path, {"file": f"a.{ending}", "references": "more"})
    assert [row.references for row in rows] == [[], ["e"]]


def test_links_of_mixed_types_are_a_bad_row(tmp_path):
    record = {"source": "a b", "target": "c", "alignment": [[0, "1"], [0, 0]]}
    write(tmp_path / "a.jsonl", json.dumps(record))
    [bad] = bad_rows(tmp_path, {"file": "a.jsonl", "alignment": "alignment"})
    assert "is not Pharaoh" in bad.reason


def test_blank_lines_are_pairs_without_text_and_none_is_a_blank_side(tmp_path):
    write(tmp_path / "a.tsv", "a\tb\n\nc\td\n")
    assert pairs_of(read(tmp_path, {"file": "a.tsv"})) == [("a", "b"), ("", ""), ("c", "d")]
    write(tmp_path / "a.jsonl", '\n{"source": null, "target": "b"}\n')
    assert pairs_of(read(tmp_path, {"file": "a.jsonl"})) == [("", ""), ("", "b")]
