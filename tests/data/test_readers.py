# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Every reader, in every compression, and what each says of bad files and bad rows."""

import bz2
import codecs
import csv
import gzip
import hashlib
import io
import json
import lzma
import subprocess
import sys
import tarfile
import zipfile
from contextlib import closing

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_attn_seq2seq.data import readers
from hf_attn_seq2seq.data.grammar import generate_corpus
from hf_attn_seq2seq.data.readers import BadRow, LeftOut, Row, open_source, read_lines
from hf_attn_seq2seq.data.settings import DataSettings, SourceSettings
from tests.data.corpus_files import write


COMPRESSIONS = ["", ".gz", ".xz", ".bz2"]
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


@pytest.mark.parametrize("languages", [{}, {"source_language": "en", "target_language": "fr"}])
def test_a_first_row_of_source_and_target_is_a_header(tmp_path, languages):
    write(tmp_path / "a.csv", "target,source\nun,one\ndeux,two\n")
    assert pairs_of(read(tmp_path, {"file": "a.csv"}, **languages)) == [("one", "un"), ("two", "deux")]
    assert len(read(tmp_path, {"file": "a.csv", "header": False}, **languages)) == 3


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


ROWS = [("one", "un", "novel", "CC0"), ("two", "deux", "game", "GPL"), ("three", "trois", "novel", " MPL ")]


@pytest.mark.parametrize("ending", ["tsv", "csv", "jsonl", "parquet"])
def test_rows_are_kept_by_their_columns(tmp_path, ending):
    columns = ("source", "target", "kind", "licence")
    records = [dict(zip(columns, row)) for row in ROWS]
    if ending in ("tsv", "csv"):
        comma = {"tsv": "\t", "csv": ","}[ending]
        content = "".join(comma.join(row) + "\n" for row in [columns, *ROWS])
    elif ending == "jsonl":
        content = "".join(json.dumps({**record, "kind": {"of": record["kind"]}}) + "\n" for record in records)
    else:
        content = parquet_bytes(pa.Table.from_pylist(records))
    write(tmp_path / f"a.{ending}", content)
    kind = "kind.of" if ending == "jsonl" else "kind"
    source = {"file": f"a.{ending}", "keep": {kind: "novel", "licence": ["CC0", "BSD", "MPL"]}}
    rows = read(tmp_path, source)
    first = rows[0].line
    assert rows == [Row("one", "un", first), LeftOut(first + 1, "game"), Row("three", "trois", first + 2)]
    assert SourceSettings(**source).name == f"a.{ending} ({kind}: novel; licence: CC0, BSD, MPL)"
    if ending in ("tsv", "csv"):
        numbered = {"file": f"a.{ending}", "header": True, "keep": {3: ["GPL"]}}
        assert pairs_of(row for row in read(tmp_path, numbered) if isinstance(row, Row)) == [("two", "deux")]
        again = json.loads(SourceSettings(**numbered).model_dump_json())  # whose keys are text
        assert SourceSettings(**again) == SourceSettings(**numbered)
    if ending == "jsonl":  # whose records may differ
        assert {row.reason[:11] for row in read(tmp_path, {"file": "a.jsonl", "keep": {"state": "good"}})} == {
            "no 'state':"
        }
        return
    with pytest.raises(ValueError, match="has no column 'state': choose one of"):
        read(tmp_path, {"file": f"a.{ending}", "keep": {"state": ["good"]}})


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"file": "a.tmx", "keep": {"licence": ["CC0"]}}, "keep is for rows with columns"),
        ({"source": "a.en", "target": "a.fr", "keep": {2: ["CC0"]}}, "keep is for rows with columns"),
        ({"file": "a.tsv", "keep": {2: []}}, "keep names no value of 2, which would leave out all rows"),
    ],
)
def test_what_cannot_be_kept_is_told(source, told):
    with pytest.raises(ValueError, match=told):
        SourceSettings(**source)


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
    assert rows == [Row("A bold word.", "Un & deux", 4), BadRow(5, "no fr: it only has en")]


def test_tmx_that_grows_by_entities_is_refused(tmp_path):
    write(tmp_path / "a.tmx", '<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY lol "lol">]><tmx>&lol;</tmx>')
    with pytest.raises(ValueError, match="defines the entity 'lol', which is refused for safety"):
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


# The numbers of the forms for 1 and for 5, by hand from the formulas of gettext's manual.
ARABIC = "nplurals=6; plural=n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5;"
LATVIAN = "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2);"
SLOVENIAN = "nplurals=4; plural=(n%100==1 ? 1 : n%100==2 ? 2 : n%100==3 || n%100==4 ? 3 : 0);"
RUSSIAN = "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);"
IRISH = "nplurals=5; plural=n==1 ? 0 : n==2 ? 1 : n<7 ? 2 : n<11 ? 3 : 4;"


def plural_po(header, forms):
    text = po([]).replace('charset=UTF-8\\n"', f'charset=UTF-8\\n"\n"Plural-Forms: {header}\\n"' if header else '"')
    lines = "".join(f'msgstr[{number}] "form {number}"\n' for number in range(forms))
    return f'{text}\nmsgid "one"\nmsgid_plural "many"\n{lines}\nmsgid "last"\nmsgstr "dernier"\n'


@pytest.mark.parametrize(
    ("header", "forms", "expected"),
    [
        (ARABIC, 6, {"one": 1, "many": 3}),
        (LATVIAN, 3, {"one": 0, "many": 1}),
        (SLOVENIAN, 4, {"one": 1, "many": 0}),
        (RUSSIAN, 3, {"one": 0, "many": 2}),
        (IRISH, 5, {"one": 0, "many": 2}),
        ("nplurals=2; plural=n != 1;", 2, {"one": 0, "many": 1}),
        ("nplurals=1; plural=0;", 1, {"many": 0}),  # one form for both, which may well have a number in it
        ("", 2, {"one": 0, "many": 1}),
        ("", 1, {"many": 0}),
        ("nplurals=INTEGER; plural=EXPRESSION;", 2, {"one": 0, "many": 1}),  # of a template
    ],
)
def test_plural_forms_are_those_of_the_header(tmp_path, header, forms, expected):
    write(tmp_path / "a.po", plural_po(header, forms))
    assert pairs_of(read(tmp_path, {"file": "a.po"})) == [
        *((text, f"form {form}") for text, form in expected.items()),
        ("last", "dernier"),
    ]


@pytest.mark.parametrize(
    ("header", "forms", "reason"),
    [
        (ARABIC, 3, "no msgstr[3]"),
        ("nplurals=2; plural=7;", 2, "no msgstr[7]"),
        ("", 4, "4 plural forms, but no Plural-Forms"),
        ("nplurals=3; plural=n/0;", 3, "no Plural-Forms"),
        ("nplurals=3; plural=__import__('os');", 3, "no Plural-Forms"),
        ("nplurals=3; plural=" + "(" * 100 + "n" + ")" * 100, 3, "no Plural-Forms"),
    ],
)
def test_a_plural_without_its_form_is_a_bad_row(tmp_path, header, forms, reason):
    write(tmp_path / "a.po", plural_po(header, forms))
    *_, bad, last = read(tmp_path, {"file": "a.po"})
    assert reason in bad.reason
    assert last[:2] == ("last", "dernier")


def test_a_bad_entry_of_po_is_a_bad_row(tmp_path):
    content = plural_po(SLOVENIAN, 4) + '\nmsgid "a\nmsgstr "b"\n\n\nmsgid "c"\nmsgstr "d"\n'
    write(tmp_path / "a.po", content)
    rows = read(tmp_path, {"file": "a.po"})
    assert [row.line for row in rows if isinstance(row, BadRow)] == [content[: content.index('"a\n')].count("\n") + 1]
    good = [row for row in rows if isinstance(row, Row)]
    assert pairs_of(good) == [("one", "form 1"), ("many", "form 0"), ("last", "dernier"), ("c", "d")]
    assert [content.splitlines()[row.line - 1][:5] for row in good] == ["msgid"] * 4


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
        ValueError, match=r"corpus:train has no column 'en': choose one of translation\.en, translation"
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
        with pytest.raises(ValueError, match="has no split 'dev': choose one of train"):
            read(tmp_path, {"hub": "saved", "split": "dev"})


@pytest.mark.parametrize("streaming", [False, True])
def test_an_unknown_split_and_configuration_and_damage_are_told(tmp_path, own_cache, streaming):
    folder = tmp_path / "corpus"
    folder.mkdir()
    write(folder / "train.jsonl", '{"source": "a", "target": "b"}\n')
    write(folder / "test.jsonl", '{"source": "a", "target": "b"}\n')
    source = {"hub": "corpus", "streaming": streaming}
    assert "corpus has no split 'dev': choose one of train, test." in message_of(tmp_path, {**source, "split": "dev"})
    assert "'xx'" in message_of(tmp_path, {**source, "config": "xx"})
    write(folder / "train.jsonl", '{"source": "a", "target": "b"}\n{"source": \n')
    said = message_of(tmp_path, source)
    assert said.startswith("corpus:train")
    assert "cannot be read: " in said


def test_a_damaged_dataset_on_disk_is_told(tmp_path):
    datasets.Dataset.from_dict({"source": ["a"], "target": ["b"]}).save_to_disk(tmp_path / "saved")
    for file in (tmp_path / "saved").glob("*.arrow"):
        file.write_bytes(b"no arrow")
    assert "saved:train cannot be read: " in message_of(tmp_path, {"hub": "saved"})
    (tmp_path / "saved" / "state.json").write_text("{")
    assert "saved:train cannot be read: " in message_of(tmp_path, {"hub": "saved"})


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
        ValueError, match=r"x/y cannot be downloaded, because there is no network .* run `hf download x/y "
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
    assert f"has {min(lines)}, a difference of {max(lines) - min(lines)}" in said


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
    assert f"{name} has no column 'english': choose one of en, fr" in said


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@pytest.mark.parametrize("ending", ["tsv", "csv"])
def test_a_header_in_another_encoding_says_so(tmp_path, ending, encoding):
    write(tmp_path / f"a.{ending}", "français,\tanglais\nun,\tone\n".encode(encoding))
    said = message_of(tmp_path, {"file": f"a.{ending}", "source": "anglais", "target": "français"})
    assert f"a.{ending}, line 1, is not utf-8 text: set the file's encoding, such as encoding: {encoding}" in said


def test_a_header_that_cannot_be_read_says_why(tmp_path):
    write(tmp_path / "a.csv", "en,fr\rone,un\rtwo,deux\n")
    said = message_of(tmp_path, {"file": "a.csv", "source": "en", "target": "fr"})
    assert "a.csv, line 1: a carriage return in a field" in said


def test_column_names_without_a_header(tmp_path):
    write(tmp_path / "a.tsv", "x\ty\n")
    said = message_of(tmp_path, {"file": "a.tsv", "source": "en", "target": "fr", "header": False})
    assert "its columns have no names: give their numbers" in said
    assert "counted from 0" in message_of(tmp_path, {"file": "a.tsv", "source": -1})


def test_tmx_without_the_languages(tmp_path):
    write(tmp_path / "a.tmx", tmx(PAIRS))
    assert "set data.source_language and data.target_language" in message_of(tmp_path, {"file": "a.tmx"})
    said = message_of(tmp_path, {"file": "a.tmx", "source": "en", "target": "it"})
    assert "no translation unit with both en and it: its languages are en-us, fr" in said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.tmx", "<tmx>\n<body>\n</tmx>", r"a\.tmx, line 3, is not XML \(mismatched tag\)"),
        ("a.tmx", "<tmx/>", r"a\.tmx has no translation unit"),
        ("a.tmx", "<tmx>\n<body>\n", r"a\.tmx ends in the middle of the document"),
        ("a.tmx", "<tmx>\n<été/></tmx>".encode("latin-1"), r"a\.tmx, line 2, is not XML \(not well-formed"),
        ("a.po", 'msgid "a"\nmsgstr "b"\nmsgstr\n', r"a\.po, line 3, is not gettext PO"),
        ("a.parquet", "PAR1 no table", r"a\.parquet is not a Parquet file"),
    ],
)
def test_files_that_are_not_what_they_are_called(tmp_path, name, content, said):
    write(tmp_path / name, content)
    with pytest.raises(ValueError, match=said):
        read(tmp_path, {"file": name, "source": "en", "target": "fr"})


@pytest.mark.parametrize("ending", COMPRESSIONS[1:])
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
    write(tmp_path / "a.tsv", "plain\tplain\nsummer\tété\nhere\tlà\n".encode("latin-1"))
    said = message_of(tmp_path, {"file": "a.tsv"})
    assert "a.tsv, line 2, is not utf-8 text (2 of 3 lines are not): set the file's encoding" in said
    assert "encoding: latin-1" in said
    write(tmp_path / "b.tsv", "a\tb\ncé\td\n".encode("utf-16"))
    assert "such as encoding: utf-16" in message_of(tmp_path, {"file": "b.tsv"})


@pytest.mark.parametrize("encoding", ["utf-9", "rot13", "undefined", "x" * 999])
def test_what_is_no_encoding_is_told(tmp_path, encoding):
    write(tmp_path / "a.tsv", "a\tb\n")
    said = message_of(tmp_path, {"file": "a.tsv", "encoding": encoding})
    assert said.startswith(f"Unknown encoding '{encoding[:40]}'")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_says_so(tmp_path, encoding):
    # All of it is valid UTF-8, with NUL bytes in between.
    write(tmp_path / "a.tsv", "one\tun\ntwo\tdeux\n".encode(encoding))
    assert f"such as encoding: {encoding}" in message_of(tmp_path, {"file": "a.tsv"})
    assert pairs_of(read(tmp_path, {"file": "a.tsv", "encoding": encoding})) == [("one", "un"), ("two", "deux")]


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
        ("a.tsv", "a\tb\nalone\n", 2, "2 columns are needed, but it has 1"),
        ("a.csv", "a,b\nalone\n", 2, "2 columns are needed, but it has 1"),
        ("a.jsonl", '{"source": "a", "target": "b"}\n{"source": "a"', 2, "not JSON"),
        ("a.jsonl", '["a", "b"]\n', 1, "not a JSON object"),
        ("a.jsonl", '{"source": "a", "b": {"c": 1}}\n', 1, "no 'target': it only has source, b.c"),
        ("a.jsonl", '{"en": "a"}\n{"en": "a", "fr": "b"}\n', 1, "no 'target': it only has en"),
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


@pytest.mark.parametrize(
    "later",
    [
        ["y,z"] * 300,  # it never closes
        ["Thanks,Merci", '"Yes, please","Oui, merci"', "See you,À bientôt"],  # it meets the next one's opening
        [*["y,z"] * 150, 'a screen of 15",un écran'],  # it closes, but many lines on
        [*["y,z"] * 3, 'a screen of 15",un écran'],  # each line reads as a row
        ["x" * 3_000_000 + ",z", "y,z"],
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_an_unclosed_quote_spoils_its_own_row_alone(tmp_path, later, end):
    write(tmp_path / "a.csv", (end or "\n").join(["a,b", '"open,c', *later]) + end)
    rows = read(tmp_path, {"file": "a.csv"})
    assert rows[0] == Row("a", "b", 1)
    assert rows[1].line == 2
    assert "quote" in rows[1].reason
    expected = [("Yes, please", "Oui, merci") if "Yes" in line else tuple(line.split(",")) for line in later]
    assert [row[:3] for row in rows[2:] if isinstance(row, Row)] == [
        (*pair, line) for line, pair in enumerate(expected, start=3) if len(pair[0]) < 1_000_000
    ]


@pytest.mark.parametrize("lines", [1, 2, 3, 40])
def test_quotes_that_close_may_hold_line_ends(tmp_path, lines):
    poem, prose = "\n".join(f'Line {i}, "so"' for i in range(lines)), "\n".join(f"ligne {i}" for i in range(lines))
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("a", "b"), (poem, prose), ("c", "d"), (prose, poem)])
    rows = read(tmp_path, {"file": "a.csv"})
    assert pairs_of(rows) == [("a", "b"), (poem, prose), ("c", "d"), (prose, poem)]
    assert [row.line for row in rows] == [1, 2, 2 * lines + 1, 2 * lines + 2]


def test_a_poem_with_commas_is_no_row_of_rows(tmp_path):
    poem = "Roses are red,\nViolets are blue,\nSugar is sweet,\nAnd so are you."
    write(tmp_path / "a.csv", f'"{poem}",Rosen sind rot\nc,d\n')
    assert pairs_of(read(tmp_path, {"file": "a.csv"})) == [(poem, "Rosen sind rot"), ("c", "d")]


def test_a_quote_within_a_cell_and_text_behind_a_quote_are_read_leniently(tmp_path):
    write(tmp_path / "a.csv", '15" screen,écran\n"So" he said,dit-il\n')
    assert pairs_of(read(tmp_path, {"file": "a.csv"})) == [('15" screen', "écran"), ("So he said", "dit-il")]


def test_another_delimiter(tmp_path):
    write(tmp_path / "a.csv", 'en;fr\n"one; two";un, deux\n')
    source = {"file": "a.csv", "delimiter": ";", "source": "en", "target": "fr"}
    assert read(tmp_path, source) == [Row("one; two", "un, deux", 2)]
    write(tmp_path / "b.csv", "one;un\n")
    [bad] = bad_rows(tmp_path, {"file": "b.csv"})
    assert bad.reason == '2 columns are needed, but it has 1 (did you mean delimiter: ";"?)'
    said = message_of(tmp_path, {"file": "a.csv", "source": "en", "target": "fr"})
    assert 'choose one of en;fr, or give a number from 0 (did you mean delimiter: ";"?).' in said


# Line ends


@pytest.mark.parametrize("compression", ["", ".gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("ending", ["tsv", "csv", "jsonl", "po", "tmx"])
def test_carriage_returns_end_lines_where_there_is_nothing_else(tmp_path, ending, encoding, compression):
    content = FILES[ending](PAIRS).replace("\r\n", "\n").replace("utf-8", encoding).replace("UTF-8", encoding)
    path = write(tmp_path / f"a.{ending}{compression}", content.replace("\n", "\r").encode(encoding))
    expected = write(tmp_path / f"b.{ending}", content.encode(encoding))
    languages = {"source_language": "en", "target_language": "fr"}
    rows = read(tmp_path, {"file": path.name, "encoding": encoding}, **languages)
    assert pairs_of(rows) == PAIRS
    assert rows == read(tmp_path, {"file": expected.name, "encoding": encoding}, **languages)  # on the same lines


def test_carriage_returns_end_the_lines_of_aligned_files(tmp_path):
    write(tmp_path / "s", "one\rtwo\r")
    write(tmp_path / "t", "un\ndeux\n")
    assert pairs_of(read(tmp_path, {"source": "s", "target": "t"})) == [("one", "un"), ("two", "deux")]
    assert list(read_lines(tmp_path / "s")) == ["one", "two"]


def test_mixed_line_ends_make_no_wrong_pair(tmp_path):
    write(tmp_path / "a.tsv", "a\tb\nc\td\re\tf\ng\th, \ri\n")
    assert read(tmp_path, {"file": "a.tsv"}) == [
        Row("a", "b", 1),
        BadRow(2, "2 rows in one, separated by carriage returns: use the same line endings throughout"),
        Row("g", "h, \ri", 3),
    ]
    records = [json.dumps({"source": name, "target": name}) for name in "abc"]
    write(tmp_path / "a.jsonl", f"{records[0]}\n{records[1]}\r{records[2]}\r\n")
    assert read(tmp_path, {"file": "a.jsonl"}) == [Row(name, name, line) for line, name in enumerate("abc", start=1)]


def test_byte_order_marks_of_joined_files_are_dropped(tmp_path):
    for ending in ("tsv", "csv", "jsonl"):
        content = FILES[ending](PAIRS).encode()
        write(tmp_path / f"a.{ending}", b"".join(codecs.BOM_UTF8 + line for line in content.splitlines(True)))
        assert pairs_of(read(tmp_path, {"file": f"a.{ending}"})) == PAIRS


def test_a_line_without_end_is_a_bad_row(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "_MAX_LINE", 100)
    write(tmp_path / "a.tsv", "a\tb\n" + "x" * 450 + "\tb\nc\td\n" + "y" * 100)
    rows = read(tmp_path, {"file": "a.tsv"})
    assert [rows[0], rows[2]] == [Row("a", "b", 1), Row("c", "d", 3)]
    assert rows[1] == BadRow(2, "has a line of more than 100 characters, which is too long")
    assert rows[3].line == 4


# JSON


@pytest.mark.parametrize("compression", ["", ".gz"])
@pytest.mark.parametrize("spaces", [None, 1])
def test_an_array_of_records_is_read_as_records(tmp_path, spaces, compression):
    records = [
        {"source": f"s [{i}] " + "long " * (i % 7), "target": f't "{i}", été', "n": [{"i": i}]} for i in range(3000)
    ]
    text = json.dumps(records, indent=spaces, ensure_ascii=False)
    write(tmp_path / f"a.json{compression}", text)
    rows = read(tmp_path, {"file": f"a.json{compression}"})
    assert pairs_of(rows) == [(record["source"], record["target"]) for record in records]
    lines = text.splitlines()
    for row in rows[:: 500 if spaces else 3000]:
        assert lines[row.line - 1].strip().startswith("{" if spaces else "[")


def test_bad_elements_of_an_array_are_bad_rows(tmp_path):
    good = '{"source": "a", "target": "b"}'
    write(tmp_path / "a.json", f'[\n{good},\n"c",\n{{"source": "d"}},\n3,\n{good}\n]\n')
    rows = read(tmp_path, {"file": "a.json"})
    assert [(row.line, isinstance(row, Row)) for row in rows] == [(2, 1), (3, 0), (4, 0), (5, 0), (6, 1)]
    write(tmp_path / "b.json", f"[{good},\n{good}\n".encode() + b'{"source": "\xe9", "target": "b"}]')
    assert read(tmp_path, {"file": "b.json"})[2].line == 3
    write(tmp_path / "c.json", f"[\n{good},\n{good}\n{{'source'}}]")
    assert "c.json, line 4, is not JSON" in message_of(tmp_path, {"file": "c.json"})
    write(tmp_path / "d.json", f"[\n{good},\n{good}\n")
    assert "d.json ends in the middle of its JSON array" in message_of(tmp_path, {"file": "d.json"})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"source": ' + "9" * 5000 + ', "target": "b"}', "is not text"),
        ('{"source": NaN, "target": "b"}', "'nan' is not text"),
        ('{"source": ' + "[" * 100_000, "nested too deeply"),
        ('{"source": ' + "[" * 300 + "]" * 300 + ', "target": "b"}', "a list is not text"),
        ('{"source": {"en": "a"}, "target": "b"}', "a dict is not text"),
        ('{"source": "a", "source": "c", "target": "b"}', "'source' is given twice"),
        ('{"source": "a", "target": "b", "links": "0-' + "9" * 5000 + '"}', "the alignment link 0-9999"),
        ('{"source": "a", "target": "b", "links": "٠-٠"}', "is not in Pharaoh format"),
        ('{"source": "a", "target": "b", "links": ' + "[" * 300 + "]" * 300 + "}", "is not in Pharaoh format"),
    ],
)
def test_a_bad_record_does_not_end_the_run(tmp_path, line, reason):
    good = {"source": "a", "target": "b", "links": "0-0", "id": 10**2000, "other": {"x": 1}}
    line = line.replace('"b"}', '"b", "links": "0-0"}')
    write(tmp_path / "a.jsonl", f"{line}\n{json.dumps(good)}\n")
    bad, row = read(tmp_path, {"file": "a.jsonl", "alignment": "links"})
    assert bad.line == 1
    assert reason in bad.reason
    assert len(bad.reason) < 200
    assert row == Row("a", "b", 2, None, "0-0")


# Archives that no name tells


@pytest.mark.parametrize("ending", ["tsv", "csv", "jsonl", "tmx", "po"])
def test_an_archive_is_no_text(tmp_path, ending):
    content = FILES[ending](PAIRS).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", content)
    tarred = io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        member = tarfile.TarInfo("a")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    for name, archived, told in (
        ("a", packed.getvalue(), "is a zip archive: unpack it"),
        ("b", tarred.getvalue(), "is a tar archive: unpack it"),
        ("c", gzip.compress(content), "is compressed with gzip"),
        ("d", lzma.compress(content), "is compressed with xz"),
        ("e", bz2.compress(content), "is compressed with bzip2"),
        ("f", FILES["parquet"](PAIRS), "is a Parquet file: set format"),
    ):
        write(tmp_path / f"{name}.{ending}", archived)
        # As latin-1 every archive is text.
        source = {"file": f"{name}.{ending}", "encoding": "latin-1"}
        said = message_of(tmp_path, source, source_language="en", target_language="fr")
        assert told in said


# Columns and damage


def test_damaged_text_in_xml_is_a_bad_row(tmp_path):
    pairs = [(f"one {i}", f"un {i}") for i in range(300)]
    content = tmx(pairs).encode()
    for number, damage in ((7, b"\xe9"), (8, b"\x08"), (9, b"&#x1F;"), (50, b"&#xD83D;")):
        content = content.replace(b"un %d<" % number, b"un %s<" % damage)
    content = content.replace(b"un 60<", b"un &#233; &#x1F600; &amp;<")
    write(tmp_path / "a.tmx", content)
    rows = read(tmp_path, {"file": "a.tmx", "source": "en", "target": "fr"})
    assert [row.line for row in rows if isinstance(row, BadRow)] == [11, 12, 13, 54]
    assert pairs_of(row for row in rows if isinstance(row, Row)) == [
        (source, "un é 😀 &" if source == "one 60" else target)
        for source, target in pairs
        if source not in ("one 7", "one 8", "one 9", "one 50")
    ]


@pytest.mark.parametrize(
    ("declared", "given", "encoding"),
    [
        ("Shift_JIS", "utf-8", "shift_jis"),
        ("EUC-JP", "utf-8", "euc_jp"),
        ("GB18030", "utf-8", "gb18030"),
        ("UTF-16", "utf-8", "utf-16"),
        ("UTF-16", "utf-8", "utf-8"),  # a mistake of some programs
        ("utf-8", "shift_jis", "shift_jis"),  # told otherwise
        (None, "shift_jis", "shift_jis"),
        (None, "utf-8", "utf-8-sig"),
        (None, "utf-8", "utf-16-be"),
        (None, "utf-8", "utf-32"),
    ],
)
def test_encodings_of_tmx(tmp_path, declared, given, encoding):
    pairs = [("summer", "夏"), ("one, two", "一、二")] * 2000
    text = tmx(pairs).replace(' encoding="utf-8"', "" if declared is None else f" encoding='{declared}'")
    write(tmp_path / "a.tmx", text.encode(encoding))
    source = {"file": "a.tmx", "encoding": given, "source": "en", "target": "fr"}
    assert pairs_of(read(tmp_path, source)) == pairs


@pytest.mark.parametrize("ending", ["tmx", "po"])
def test_a_declared_encoding_that_there_is_not(tmp_path, ending):
    write(tmp_path / f"a.{ending}", FILES[ending](PAIRS[:1]).replace("utf-8", "UCS-2").replace("UTF-8", "UCS-2"))
    said = message_of(tmp_path, {"file": f"a.{ending}", "source": "en", "target": "fr"})
    assert f"a.{ending} declares the encoding 'ucs-2', which Python does not know" in said


def test_the_encoding_that_po_declares(tmp_path):
    write(tmp_path / "a.po", po([("lion", "lew"), ("snake", "wąż")]).replace("UTF-8", "ISO-8859-2").encode("latin2"))
    assert pairs_of(read(tmp_path, {"file": "a.po"})) == [("lion", "lew"), ("snake", "wąż")]


def table_of(rows):
    return pa.table({"source": [f"s{i}" for i in range(rows)], "target": [f"t{i}" for i in range(rows)]})


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
def test_a_damaged_parquet_page_is_told_with_its_row(tmp_path, compression):
    sink = pa.BufferOutputStream()
    pq.write_table(
        table_of(5000),
        sink,
        row_group_size=1000,
        compression=compression,
        write_page_checksum=True,
        use_dictionary=False,
    )
    content = bytearray(sink.getvalue().to_pybytes())
    place = pq.ParquetFile(pa.BufferReader(bytes(content))).metadata.row_group(3).column(0).data_page_offset
    content[place + 60 : place + 90] = bytes(30)
    write(tmp_path / "a.parquet", bytes(content))
    said = message_of(tmp_path, {"file": "a.parquet"})
    assert "a.parquet cannot be read from row 3001 on" in said
    assert said.endswith("it is damaged.")
    write(tmp_path / "b.parquet", bytes(content[:-500]))
    assert "b.parquet is not a Parquet file, or is damaged" in message_of(tmp_path, {"file": "b.parquet"})


def test_text_in_parquet_that_is_not_utf_8_is_a_bad_row(tmp_path):
    texts = pa.array([b"a", b"\xe9", b"c"]).view(pa.string())
    write(tmp_path / "a.parquet", parquet_bytes(pa.table({"source": texts, "target": ["x", "y", "z"]})))
    assert read(tmp_path, {"file": "a.parquet"}) == [
        Row("a", "x", 1),
        BadRow(2, "text that is not UTF-8"),
        Row("c", "z", 3),
    ]


@pytest.mark.parametrize(
    ("links", "reason"),
    [("0-0 1", "is not in Pharaoh format"), ("0-0 2-0", "link 2-0 is beyond"), ("0-9", "beyond the last word")],
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
    assert "is not in Pharaoh format" in bad.reason


def test_blank_lines_are_pairs_without_text_and_none_is_a_blank_side(tmp_path):
    write(tmp_path / "a.tsv", "a\tb\n\nc\td\n")
    assert pairs_of(read(tmp_path, {"file": "a.tsv"})) == [("a", "b"), ("", ""), ("c", "d")]
    write(tmp_path / "a.jsonl", '\n{"source": null, "target": "b"}\n')
    assert pairs_of(read(tmp_path, {"file": "a.jsonl"})) == [("", ""), ("", "b")]


def test_tables_of_files_need_no_library_of_recipes(tmp_path):
    (table := tmp_path / "table.csv").write_text('audio,text\n"a, b.wav",x\n\n', "utf-8")
    code = (
        "import pathlib, sys; sys.modules.update(dict.fromkeys(['pydantic', 'datasets', 'pyarrow', 'xxhash']))\n"
        "from hf_attn_seq2seq.data.readers import read_files\n"
        "print([row.source for row in read_files(pathlib.Path(sys.argv[1]), lambda names: names[0])])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(table)], capture_output=True, text=True, check=True)
    assert done.stdout == "['a, b.wav', '']\n"
