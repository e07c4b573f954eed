# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Models of two tutorials, whose classes people copy: PyTorch's "NLP From Scratch: Translation with a Sequence to
Sequence Network and Attention" (Robertson), and "pytorch-seq2seq" (Trevett), parts 1 to 4.

Which it is, and all sizes, is read off the names and shapes of the state dict: of a whole model, or a dict of those of
its `encoder` and `decoder`. Neither file has words, so vocabularies are named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.convert.converted import Converted
from hf_attn_seq2seq.convert.vocabularies import (
    EXCLUDED,
    IDS,
    Side,
    Specials,
    read_vocabulary,
    tokenizer_of,
)
from hf_attn_seq2seq.convert.weights import Filling, Weights, flattened, gates_of, read_torch, rows_of
from hf_attn_seq2seq.messages import shortened


ENDS = (".pt", ".pth", ".bin")
# What other versions call the same: of PyTorch's tutorial the recurrence, of Trevett's the attention.
RENAMED = {
    "encoder.gru.": "encoder.rnn.",
    "decoder.gru.": "decoder.rnn.",
    "decoder.out.": "decoder.fc_out.",
    "decoder.attention.attn_fc.": "decoder.attention.attn.",
    "decoder.attention.v_fc.": "decoder.attention.v.",
}
# Names of the special tokens in the tutorials' vocabularies; PyTorch's has no file, and begins with SOS and EOS.
NAMES = {
    "pad": ("<pad>", "PAD"),
    "start": ("<sos>", "SOS", "<bos>", "<s>"),
    "end": ("<eos>", "EOS", "</s>"),
    "unknown": ("<unk>", "UNK"),
}


def recognizes(source: Path) -> bool:
    """Whether this is a state dict with the names of one of the tutorials."""
    if source.suffix not in ENDS:
        return False
    try:
        names = set(_renamed(_state(source)))
    except ValueError:
        return False
    return {"encoder.embedding.weight", "decoder.embedding.weight", "decoder.fc_out.weight"} <= names


def convert(source: Path, vocabularies: Sequence[Path] = ()) -> Converted:
    """
    Read a model of one of the tutorials.

    Args:
        source: What `torch.save` made of `model.state_dict()`, or of `{"encoder": encoder.state_dict(), "decoder":
            decoder.state_dict()}`.
        vocabularies: The source's and the target's words in the order of their ids: one a line, or JSON.

    Raises:
        ValueError: A file is missing, foreign or damaged, or the model needs what there is not here.
    """
    state = _state(source)
    weights = Weights(_renamed(state), str(source))
    if len(vocabularies) != 2:
        raise ValueError("A tutorial's model has no words in its file: name the source's and the target's by --vocab.")
    words = [read_vocabulary(path) for path in vocabularies]
    specials = _specials(words, vocabularies)
    sides = [Side.of(each, specials, str(path)) for each, path in zip(words, vocabularies)]
    sizes = [weights.shape(f"{part}.embedding.weight") for part in ("encoder", "decoder")]
    for each, (rows, _), path in zip(words, sizes, vocabularies):
        if len(each) != rows:
            raise ValueError(
                f"'{shortened(str(path))}' has {len(each)} words and '{weights.file}' {rows} rows for them: name the "
                "vocabulary that belongs to the model."
            )
    kind = _kind(weights, any(name.startswith("decoder.gru.") for name in state))
    config = _config(weights, kind, sides, sizes)
    model = _filled(config, kind, weights, sides, sizes)
    model.generation_config.num_beams = 1
    around = "$A {end}" if kind.of_pytorch else "{start} $A {end}"
    template = around.format(start=specials.start, end=specials.end)
    told = ["Words are read between blanks: split and lower-case text as for the training."]
    return Converted(model, tokenizer_of(sides[0], sides[1], specials, template), told)


def _state(source: Path) -> dict[str, torch.Tensor]:
    state = read_torch(source)
    if isinstance(state, Mapping):
        for name in ("model_state_dict", "state_dict"):
            inner = state.get(name)
            state = inner if isinstance(inner, Mapping) else state
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise ValueError(f"'{shortened(str(source))}' holds no state dict: save model.state_dict().")
    return dict(flattened(state))


def _renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = {}
    for name, value in state.items():
        known = next((theirs for theirs in RENAMED if name.startswith(theirs)), None)
        found[name if known is None else RENAMED[known] + name.removeprefix(known)] = value
    return found


def _specials(words: list[list[str]], vocabularies: Sequence[Path]) -> Specials:
    """The names of the special tokens, in both vocabularies alike."""
    found = {}
    for field, names in NAMES.items():
        used = {name for name in names for each in words if name in each}
        if len(used) > 1:
            raise ValueError(
                f"'{shortened(str(vocabularies[0]))}' and '{shortened(str(vocabularies[1]))}' have "
                f"{' and '.join(sorted(used))} for one thing: use one name in both."
            )
        found[field] = used.pop() if used else names[0]
    for name in (found["start"], found["end"]):
        for each, path in zip(words, vocabularies):
            if name not in each:
                raise ValueError(
                    f"'{shortened(str(path))}' has no {name}: write the tokens that start and end a sentence at the "
                    "places of their ids."
                )
    return Specials(**found)


class _Kind(NamedTuple):
    """Which of the classes it is."""

    of_pytorch: bool
    attends: bool
    reads_context: bool  # in the cell
    reads_all: bool  # in the output layer: state, context and embedding


def _kind(weights: Weights, of_pytorch: bool) -> _Kind:
    if "decoder.attn_combine.weight" in weights:
        raise ValueError(
            f"'{weights.file}' is of the tutorial's first version, whose attention has one weight for each place of a "
            "source of fixed length and reads the embedding (decoder.attn_combine): there is none such here."
        )
    attends = "decoder.attention.Wa.weight" in weights or "decoder.attention.attn.weight" in weights
    _, hidden = weights.shape("decoder.rnn.weight_hh_l0")
    _, entering = weights.shape("decoder.rnn.weight_ih_l0")
    _, embedding = weights.shape("decoder.embedding.weight")
    _, read = weights.shape("decoder.fc_out.weight")
    if not attends and "encoder.fc.weight" in weights:
        raise ValueError(f"'{weights.file}' has a bidirectional encoder without attention, which no tutorial has.")
    return _Kind(of_pytorch, attends, entering > embedding, read > hidden)


def _config(weights: Weights, kind: _Kind, sides: list[Side], sizes: list[tuple[int, ...]]) -> AttnSeq2SeqConfig:
    cell, hidden = gates_of(weights, "decoder.rnn.weight_hh_l0")
    encoder_cell, encoder_hidden = gates_of(weights, "encoder.rnn.weight_hh_l0")
    (_, source_width), (_, width) = sizes
    if source_width != width:
        raise ValueError(
            f"'{weights.file}' has embeddings of {source_width} numbers in the encoder and {width} in the decoder: "
            "here both have one width."
        )
    if encoder_cell != cell:
        raise ValueError(f"'{weights.file}' has a {encoder_cell} encoder and a {cell} decoder, which no tutorial has.")
    both = "encoder.rnn.weight_hh_l0_reverse" in weights
    layers = [weights.depth(f"{part}.rnn.weight_hh_l{{}}") for part in ("encoder", "decoder")]
    fields: dict[str, Any] = {"attention_type": "none"}
    if kind.attends:
        name = "Wa" if kind.of_pytorch else "attn"
        fields = {
            "attention_type": "additive",
            "attention_bias": True,
            "attention_size": weights.shape(f"decoder.attention.{name}.weight")[0],
        }
    return AttnSeq2SeqConfig(
        vocab_size=len(sides[0].tokens),
        decoder_vocab_size=len(sides[1].tokens),
        hidden_size=hidden,
        embedding_size=width,
        encoder_hidden_size=encoder_hidden * (1 + both),
        encoder_type=cell,
        decoder_type=cell,
        encoder_layers=layers[0],
        decoder_layers=layers[1],
        bidirectional=both,
        attention_query="previous" if kind.reads_context else "current",
        bridge="dense" if "encoder.fc.weight" in weights else "final",
        readout="concat" if kind.reads_all else "linear",
        tie_word_embeddings=False,
        output_bias=True,
        dropout=0.0,
        **IDS,
        **fields,
    )


def _filled(
    config: AttnSeq2SeqConfig, kind: _Kind, weights: Weights, sides: list[Side], sizes: list[tuple[int, ...]]
) -> Any:
    filling = Filling(config)
    encoder, decoder = filling.model.model.encoder, filling.model.model.decoder
    steps = decoder.stack.steps
    for part, name, side, size in zip((encoder, decoder), ("encoder", "decoder"), sides, sizes):
        table = weights.take(f"{name}.embedding.weight", *size)
        if name == "decoder" and kind.of_pytorch and not kind.attends:
            table = torch.relu(table)  # as its decoder without attention does at every step
        filling.put(part.embed_tokens.weight, rows_of(table, side.rows))
    filling.encoder_cells(weights, "encoder.rnn.")
    for index, cell in enumerate(steps.cells):
        filling.cell(cell, weights, "decoder.rnn.", f"_l{index}")
    hidden, context, embedding = config.hidden_size, config.context_size, config.embedding_size
    if config.bridge == "dense":
        bridge = decoder.stack.bridge.projection
        filling.linear(
            bridge, weights.take("encoder.fc.weight", hidden, context), weights.take("encoder.fc.bias", hidden)
        )
    if kind.attends:
        inner = config.attention_size
        if kind.of_pytorch:
            query = weights.take("decoder.attention.Wa.weight", inner, hidden)
            key = weights.take("decoder.attention.Ua.weight", inner, context)
            bias = weights.take("decoder.attention.Wa.bias", inner) + weights.take("decoder.attention.Ua.bias", inner)
            vector = weights.take("decoder.attention.Va.weight", 1, inner)
            weights.drop("decoder.attention.Va.bias")  # added to all scores alike, which softmax does not see
        else:
            joined = weights.take("decoder.attention.attn.weight", inner, hidden + context)
            query, key = joined.split([hidden, context], dim=1)
            bias = weights.take("decoder.attention.attn.bias", inner)
            vector = weights.take("decoder.attention.v.weight", 1, inner)
        filling.linear(steps.attention.query_projection, query)
        filling.linear(steps.attention.key_projection, key, bias)
        filling.put(steps.attention.score_vector, vector)
    head = weights.take("decoder.fc_out.weight", sizes[1][0], config.readout_size)
    if kind.reads_all and not kind.attends:  # Trevett's second part has the embedding first
        word, *rest = head.split([embedding, hidden, context], dim=1)
        head = torch.cat([*rest, word], dim=1)
    bias = weights.take("decoder.fc_out.bias", sizes[1][0])
    rows = sides[1].rows
    filling.linear(filling.model.lm_head, rows_of(head, rows), rows_of(bias, rows, EXCLUDED))
    weights.finish()
    return filling.done()
