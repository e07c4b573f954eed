# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The `data` section of a recipe: where sentence pairs come from, how they are cleaned and how they are split."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from hf_attn_seq2seq.data.grammar import MAX_PAIRS
from hf_attn_seq2seq.data.words import WordKind
from hf_attn_seq2seq.messages import quoted
from hf_attn_seq2seq.settings import Settings, as_list, warn_renamed
from hf_attn_seq2seq.writing import MAX_NAME, is_plain_name


Format = Literal["tsv", "csv", "jsonl", "parquet", "tmx", "po"]
GrammarSplit = Literal["train", "validation", "test", "test_compositional"]

_SUFFIXES: dict[str, Format] = {
    ".tsv": "tsv",
    ".txt": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".tmx": "tmx",
    ".po": "po",
}
_COMPRESSED = (".gz", ".xz", ".bz2")
# The other splits, and what else the folder of a corpus holds.
RESERVED_NAMES = ("train", "validation", "tokenizer", "work", "report.json", "bad-rows.tsv")


def _quoted(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("YAML reads this as a yes or a no: quote the code of a language, as in 'no' for Norwegian.")
    return value


Language = Annotated[str | None, BeforeValidator(_quoted)]


def _renamed_words(kind: Any) -> Any:
    if kind != "blanks":
        return kind
    warn_renamed("'alignment_words: blanks'", "'alignment_words: whitespace'")
    return "whitespace"


class GrammarSettings(Settings):
    """A part of the built-in English-French grammar, which comes with its word alignments."""

    split: GrammarSplit = Field("train", description="which part of the generated corpus")
    seed: int = Field(0, description="what the corpus depends on, with the sizes")
    train_size: int = Field(40_000, ge=1, le=MAX_PAIRS, description="pairs in train")
    validation_size: int = Field(500, ge=1, le=MAX_PAIRS, description="pairs in validation")
    test_size: int = Field(1000, ge=1, le=MAX_PAIRS, description="pairs in test: unseen sentences")
    compositional_size: int = Field(
        1000, ge=1, le=MAX_PAIRS, description="pairs in test_compositional: unseen combinations of known words"
    )


class SourceSettings(Settings):
    """One origin of pairs: two text files (`source`, `target`), a `file`, a `hub` dataset or the `grammar`."""

    file: Path | None = Field(None, description="a TSV, CSV, JSONL, Parquet, TMX or PO file, plain, .gz, .xz or .bz2")
    hub: str | None = Field(None, description="a dataset of the Hub, or a folder that `datasets` can load")
    grammar: GrammarSettings | None = Field(None, description="the built-in grammar")
    source: str | int | None = Field(
        None, description="text file of source sentences; with `file` or `hub` the column (or TMX language) of them"
    )
    target: str | int | None = Field(None, description="as `source`, for the target sentences")
    references: Annotated[list[str | int], BeforeValidator(as_list)] = Field(
        [], description="text files, or columns, with further references of the same source"
    )
    alignment: str | int | None = Field(None, description="text file, or column, of word links in Pharaoh format")
    possible: str | int | None = Field(None, description="as `alignment`, for gold links that are sure or possible")
    format: Format | None = Field(None, description="of `file`, where its name does not tell")
    header: bool | None = Field(None, description="whether TSV or CSV has one (default: if a column is named)")
    delimiter: str | None = Field(None, description="the character between the cells of CSV (default: a comma)")
    encoding: str = Field("utf-8", description="of the text, where a TMX or PO file does not declare its own")
    config: str | None = Field(None, description="configuration of the `hub` dataset")
    split: str = Field("train", description="split of the `hub` dataset")
    revision: str | None = Field(None, description="commit, tag or branch of the `hub` dataset")
    streaming: bool = Field(False, description="read the `hub` dataset without storing it first")
    limit: int | None = Field(None, ge=1, description="read so many rows at most")
    weight: float = Field(
        1.0,
        gt=0,
        le=1000,
        description="times each training pair is taken; of a fraction, that share is drawn by the seed",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "SourceSettings":
        texts = self.file is None and self.hub is None and (self.source is not None or self.target is not None)
        given = [name for name in ("file", "hub", "grammar") if getattr(self, name) is not None]
        if texts:
            given.append("source and target")
            if not (isinstance(self.source, str) and isinstance(self.target, str)):
                raise ValueError("Two text files need both names, source and target; columns need a file or a hub.")
        if len(given) != 1:
            found = "has none of them" if not given else f"has {' and '.join(given)}"
            raise ValueError(
                "A source is one of: two text files (source and target), a file, a hub dataset, the grammar; "
                f"this one {found}."
            )
        if self.file is not None:
            self.file_format  # noqa: B018  (raises for a name that tells none)
        if self.delimiter is not None:
            if self.file is None or self.file_format != "csv":
                raise ValueError("delimiter is for CSV alone: leave it out, or say format: csv.")
            if len(self.delimiter) != 1 or self.delimiter in '"\r\n \0':
                raise ValueError(f"delimiter is {self.delimiter[:40]!r}, but must be one character, such as ';'.")
        if self.hub is None and (self.config or self.revision or self.streaming):
            raise ValueError("config, revision and streaming are for hub datasets alone: leave them out.")
        return self

    @property
    def file_format(self) -> Format:
        """Format of `file`, as given or by its name without .gz, .xz or .bz2."""
        if self.format is not None:
            return self.format
        suffixes = [suffix for suffix in self.file.suffixes if suffix.lower() not in _COMPRESSED]
        found = _SUFFIXES.get(suffixes[-1].lower()) if suffixes else None
        if found is None:
            raise ValueError(
                f"The name {self.file} does not tell the format: give format, one of {', '.join(get_args(Format))}; "
                "two text files are named by source and target."
            )
        return found

    @property
    def name(self) -> str:
        """How messages and reports call the source."""
        if self.grammar is not None:
            return f"grammar ({self.grammar.split})"
        if self.hub is not None:
            return ":".join(part for part in (self.hub, self.config, self.split) if part)
        return str(self.file) if self.file is not None else f"{self.source} | {self.target}"

    @property
    def extras(self) -> tuple[str, ...]:
        """The columns it has beside `source` and `target`."""
        if self.grammar is not None:
            return ("alignment", "possible")
        return tuple(name for name in ("references", "alignment", "possible") if getattr(self, name) not in (None, []))


Scripts = Annotated[list[str], BeforeValidator(as_list)]


class CleaningSettings(Settings):
    """The rules in the order they are applied; validation and test sets are only tidied, and lose blank rows alone."""

    unicode_nfc: bool = Field(True, description="compose characters (Unicode NFC)")
    control_characters: bool = Field(True, description="remove control characters and byte order marks")
    whitespace: bool = Field(True, description="one blank between words, none around the text")
    max_characters: int | None = Field(2000, ge=1, description="drop pairs with a side of more characters")
    max_words: int | None = Field(250, ge=1, description="drop pairs with a side of more blank-separated words")
    max_ratio: float | None = Field(
        9.0, ge=1, description="drop pairs with (characters + 10) of one side this many times the other's"
    )
    source_scripts: Scripts = Field(
        [], description="Unicode scripts of the source, such as Latin: drop pairs with more than half other letters"
    )
    target_scripts: Scripts = Field([], description="as `source_scripts`, for the target")
    language_certainty: float | None = Field(
        None, gt=0, le=1, description="drop pairs where py3langid finds another language this certainly (0.9, say)"
    )
    drop_duplicates: bool = Field(True, description="keep the first of training pairs alike on both sides")
    drop_leaks: bool = Field(
        False, description="drop training pairs that share a sentence with a given validation or test set"
    )

    @field_validator("source_scripts", "target_scripts")
    @classmethod
    def _known_scripts(cls, scripts: list[str]) -> list[str]:
        import regex

        for script in scripts:
            try:
                regex.compile(rf"\p{{Script={script}}}")
            except regex.error:
                raise ValueError(
                    f"Unicode has no script {script!r}: name one such as Latin, Cyrillic, Greek, Arabic, Han."
                ) from None
        return scripts


Sources = Annotated[list[SourceSettings], BeforeValidator(as_list)]


class DataSettings(Settings):
    """Where the sentence pairs come from, and what becomes of them."""

    folder: Path = Field(Path("."), description="where relative file names start")
    source_language: Language = Field(None, description="code of the source language, such as en")
    target_language: Language = Field(None, description="code of the target language, such as fr")
    train: Sources = Field([], description="the sources of training pairs, mixed by their weights")
    validation: Sources = Field([], description="sources of the validation set, if it is given")
    tests: dict[str, Sources] = Field({}, description="test sets: a name, and its sources")
    alignment_words: Annotated[WordKind, BeforeValidator(_renamed_words)] = Field(
        "cut",
        description="what the links in `alignment` count: `cut`: words as the tokenizers here cut them (as "
        "`align --words running` writes them); `whitespace`: words separated by whitespace (as in tokenized text)",
    )
    validation_size: int | None = Field(
        None, ge=1, description="pairs to split off, if no validation set is given (default: a tenth, 1000 at most)"
    )
    test_size: int | None = Field(None, ge=1, description="pairs to split off as the test set `test`")
    group_references: bool = Field(
        False, description="merge validation and test rows of one source: the first target and further references"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of splits and of weighted draws")
    limit: int | None = Field(None, ge=1, description="read so many rows of each source at most")
    on_bad_row: Literal["skip", "stop"] = Field("skip", description="count and name a bad row, or stop at it")
    cleaning: CleaningSettings = Field(default_factory=CleaningSettings, description="rules for the pairs")
    num_proc: int = Field(1, ge=1, description="processes that clean")

    @model_validator(mode="after")
    def _splits_fit(self) -> "DataSettings":
        if self.validation and self.validation_size is not None:
            raise ValueError("validation is given: leave out validation_size, which splits it off the training pairs.")
        if "test" in self.tests and self.test_size is not None:
            raise ValueError("tests has a set 'test': rename it, or leave out test_size, which splits off one.")
        for name, sources in self.tests.items():
            if not is_plain_name(name, RESERVED_NAMES):
                raise ValueError(
                    f"A test set cannot be called {quoted(name)}: use at most {MAX_NAME} letters, digits, '_', '-' "
                    f"and '.', which is not the first, and none of {', '.join(RESERVED_NAMES)}."
                )
            if [other.casefold() for other in self.tests].count(name.casefold()) > 1:
                raise ValueError(f"Two test sets are called {quoted(name)}, but for capitals: rename one.")
            if not sources:
                raise ValueError(f"The test set {name!r} has no source: name one, or leave it out.")
        if self.cleaning.language_certainty is not None and not (self.source_language and self.target_language):
            raise ValueError("The language check needs source_language and target_language: name both.")
        return self
