# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
The model of `g2p_en` (Park and Kim): how English words that are in no dictionary are said, as phonemes of CMUdict.

A GRU reads the letters of a word and the end token, and another GRU starts from its last state and writes phonemes:
no attention, and the output layer reads the state alone. All of it is in a NumPy archive, `checkpoint20.npz`, in the
package's wheel.
"""

from __future__ import annotations

import io
import string
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import normalizers

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.converted import Converted
from hf_attn_seq2seq.convert.vocabularies import EXCLUDED, IDS, Side, Specials, tokenizer_of
from hf_attn_seq2seq.convert.weights import Filling, Weights, gates_of, rows_of
from hf_attn_seq2seq.messages import shortened


SPECIALS = Specials()
# In the order of the rows.
GRAPHEMES = ["<pad>", "<unk>", "</s>", *string.ascii_lowercase]
STRESSED = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
OTHERS = (
    "B",
    "CH",
    "D",
    "DH",
    "F",
    "G",
    "HH",
    "JH",
    "K",
    "L",
    "M",
    "N",
    "NG",
    "P",
    "R",
    "S",
    "SH",
    "T",
    "TH",
    "UW",
    "V",
)
VOWELS = [f"{vowel}{stress}" for vowel in STRESSED for stress in "012"]
PHONEMES = ["<pad>", "<unk>", "<s>", "</s>", *sorted([*VOWELS, *OTHERS, "W", "Y", "Z", "ZH"])]
LONGEST = 20  # phonemes in a word
MEMBER, NAMES = "g2p_en/checkpoint", ("enc_emb", "enc_w_ih", "dec_emb", "dec_w_ih", "fc_w")


def recognizes(source: Path) -> bool:
    """Whether this is the package's archive, its folder or its wheel."""
    try:
        return set(NAMES) <= set(_read(source))
    except ValueError:
        return False


def convert(source: Path, vocabularies: Sequence[Path] = ()) -> Converted:
    """
    Read the model of `g2p_en`.

    Args:
        source: `checkpoint20.npz`, the folder of the installed package, or its wheel.
        vocabularies: None: the letters and phonemes are always the same.

    Raises:
        ValueError: The file is missing, foreign or damaged, or vocabularies are named.
    """
    if vocabularies:
        raise ValueError("g2p_en has its own letters and phonemes: leave --vocab out.")
    weights = Weights({name: torch.from_numpy(value) for name, value in _read(source).items()}, str(source))
    source_side, target_side = (Side.of(tokens, SPECIALS, str(source)) for tokens in (GRAPHEMES, PHONEMES))
    kind, hidden = gates_of(weights, "enc_w_hh")
    (_, encoder_embedding), (_, embedding) = weights.shape("enc_emb"), weights.shape("dec_emb")
    if kind != "gru" or encoder_embedding != embedding:
        raise ValueError(f"'{shortened(str(source))}' has other sizes than a model of g2p_en: get the file again.")
    config = AttnSeq2SeqConfig(
        vocab_size=len(source_side.tokens),
        decoder_vocab_size=len(target_side.tokens),
        hidden_size=hidden,
        embedding_size=embedding,
        bidirectional=False,
        attention_type="none",
        attention_query="current",
        bridge="final",
        readout="linear",
        tie_word_embeddings=False,
        output_bias=True,
        dropout=0.0,
        **IDS,
    )
    filling = Filling(config)
    parts = filling.model.model
    for part, name, side, size in (
        (parts.encoder, "enc_emb", source_side, len(GRAPHEMES)),
        (parts.decoder, "dec_emb", target_side, len(PHONEMES)),
    ):
        filling.put(part.embed_tokens.weight, rows_of(weights.take(name, size, embedding), side.rows))
    for cell, side_name in (
        (parts.encoder.stack.layers[0].cells[0], "enc"),
        (parts.decoder.stack.steps.cells[0], "dec"),
    ):
        _name_as_torch(weights, side_name)
        filling.cell(cell, weights, f"{side_name}_", "")
    rows = target_side.rows
    filling.linear(
        filling.model.lm_head,
        rows_of(weights.take("fc_w", len(PHONEMES), hidden), rows),
        rows_of(weights.take("fc_b", len(PHONEMES)), rows, EXCLUDED),
    )
    weights.finish()
    model = filling.done()
    model.generation_config.max_new_tokens = LONGEST
    model.generation_config.num_beams = 1
    cleaned = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])
    tokenizer = tokenizer_of(source_side, target_side, SPECIALS, f"$A {SPECIALS.end}", (True, False), cleaned)
    told = ["It says words, one at a time; g2p_en itself asks a dictionary first, and knows numbers and homographs."]
    return Converted(model, tokenizer, told)


def _name_as_torch(weights: Weights, side: str) -> None:
    for ours, theirs in (("weight_ih", "w_ih"), ("weight_hh", "w_hh"), ("bias_ih", "b_ih"), ("bias_hh", "b_hh")):
        if f"{side}_{theirs}" in weights:
            weights.left[f"{side}_{ours}"] = weights.left.pop(f"{side}_{theirs}")


def _read(source: Path) -> dict[str, np.ndarray]:
    """The arrays of the archive; none is unpickled."""
    if source.is_dir():
        found = sorted(source.glob("checkpoint*.npz"))
        if not found:
            raise ValueError(f"There is no checkpoint20.npz in '{shortened(str(source))}': name the file.")
        source = found[-1]
    try:
        file: Any = source if source.suffix == ".npz" else io.BytesIO()
        if source.suffix == ".whl":
            with zipfile.ZipFile(source) as wheel:
                members = [name for name in wheel.namelist() if name.startswith(MEMBER) and name.endswith(".npz")]
                file = io.BytesIO(wheel.read(members[0]) if members else b"")
        with np.load(file, allow_pickle=False) as archive:
            if not set(NAMES) <= set(archive.files):
                raise ValueError("other arrays, of which none is read")
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        raise ValueError(f"'{shortened(str(source))}' is no archive of g2p_en, or damaged: get it again.") from None
    return {name: value.astype(np.float32) for name, value in arrays.items() if value.dtype.kind == "f"}
