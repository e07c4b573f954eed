# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The words of the chapters in which every view tells how a translation was made.

Steps and source positions are counted from 1 in what is said, as in the papers. `t` is a step, `j` a source
position, `i` a dimension; `x_j` are source tokens, `h_j` encoder states, `s_t` states of a recurrent decoder and `u_t`
of another, `y_t` target tokens, `e_tj` scores, `a_tj` weights, `c_t` contexts, `r_t` what the output layer reads, and
`m` is the cell of an LSTM or SSRU, which papers call c too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.decoding.heatmap import closed, visible
from hf_attn_seq2seq.explain.cells import CELLS
from hf_attn_seq2seq.explain.kinds import KINDS, UNTOLD
from hf_attn_seq2seq.explain.media_chapters import Told, front_end, looked_where, not_proof, nouns, received
from hf_attn_seq2seq.explain.mixers import MIXERS
from hf_attn_seq2seq.explain.names import TITLES
from hf_attn_seq2seq.messages import quoted


if TYPE_CHECKING:
    from hf_attn_seq2seq.explain.document import Trace


NOT_PROOF = (
    "A large weight shows what the decoder read, not why it chose a word: each encoder state also holds information "
    "about the words around its token. Other measures ask more: weighted norms, how much of a token went into the "
    "context; erasure, what happens to the choice without it; gradient x input, how the choice responds to small "
    "changes. None of them alone is the full explanation."
)

# Scripts that part no words by blanks: there a whole sentence would pass for one.
UNSPACED = r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\U00020000-\U0003ffff]"
UNKNOWN = ("<unk>", "[UNK]")  # as tokenizers of this package, of SentencePiece and of BERT call it

_EXTRAS = {"residual": "residual sums between layers", "layer_norm": "layer normalisation"}


@dataclass(frozen=True)
class ChapterText:
    """What one chapter says.

    Attributes:
        title: a few words.
        plain: two to four sentences for a newcomer.
        exact: one to three sentences for an expert: shapes, symbols, the paper.
        formula: one line, of the kind of model at hand.
    """

    title: str
    plain: str
    exact: str
    formula: str


# --------------------------------------------------------------------------------------------------------------------
# Formulas
# --------------------------------------------------------------------------------------------------------------------


def score_formula(
    kind: str, asker: str = "s_(t-1)", scaled: bool = True, bias: bool = False, weight_norm: bool = False
) -> str:
    """The score of source position `j` at step `t`.

    Args:
        kind: of attention, one of `ATTENTION_TYPES`.
        asker: the symbol of the decoder state that asks.
        scaled: False where the division by sqrt(d_k) is left out, as T5 leaves it out of a "multi_head" attention.
        bias: whether the network of an "additive" or "concat" attention adds one, as those of other kinds do.
        weight_norm: whether its vector is normalised, as that of "monotonic" always is.

    Raises:
        ValueError: for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"There is no attention of kind {quoted(kind)}: choose one of {', '.join(KINDS)}.")
    told = KINDS[kind]
    if not told.terms:
        return "no scores: the context is the same at every step"
    offset = "" if told.offset is None else f" + {told.offset.symbol}"
    division = " / sqrt(d_k)" if told.divides and scaled else ""
    where = told.where.format(
        asker=asker, bias=" + b" if bias else "", norm=", v = g v' / |v'|" if weight_norm else ""
    )
    return f"e_tj = sum_i {told.terms}{offset}{division}, {where}"


def weights_formula(kind: str, normalizer: str = "softmax") -> str:
    """How the scores of a step become weights; for an unknown normaliser, only its name."""
    formula = {
        "softmax": "a_tj = exp(e_tj) / sum_k exp(e_tk)",
        "sparsemax": "a_tj = max(0, e_tj - tau), tau such that sum_j a_tj = 1",
        "entmax15": "a_tj = max(0, e_tj / 2 - tau)^2, tau such that sum_j a_tj = 1",
    }.get(normalizer, f"a_t = {normalizer}(e_t)")
    return KINDS[kind].weights.format(normalized=formula)


def context_formula(kind: str, heads: int = 1, encoder: Mapping[str, Any] | None = None) -> str:
    """What the weights make of the source.

    Args:
        kind: of attention, one of `ATTENTION_TYPES`.
        heads: of that attention.
        encoder: `document["encoder"]` of a trace; it decides what the one vector of kind "none" is.
    """
    return KINDS[kind].contexts[heads > 1].format(summary=_summary_symbol(encoder or {}))


def gate_formulas(cell: str) -> tuple[str, ...]:
    """The equations of a recurrent cell, such as "gru", in order; none for another type of layer."""
    return CELLS[cell].formulas if cell in CELLS else ()


def mixer_formulas(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The equations of what stands in for self-attention, in order.

    Args:
        config: the fields of the model that are not at their defaults, among them `decoder_mixer`.
    """
    return MIXERS[config["decoder_mixer"]].formulas(config)


def bridge_formula(
    bridge: str | None,
    encoder: Mapping[str, Any] | None = None,
    decoder_type: str = "gru",
    own_states: bool = False,
) -> str:
    """How the decoder's initial state is computed.

    Args:
        bridge: one of `BRIDGES`; None for a decoder that takes no state from the encoder.
        encoder: `document["encoder"]` of a trace.
        decoder_type: A recurrent cell.
        own_states: Whether that decoder has states of its own.
    """
    if bridge is None:
        own = "the decoder's own states begin with 0" if own_states else "the decoder has no initial state"
        return f"h_1 ... h_S are handed over; {own}"
    first, *others = CELLS[decoder_type].symbols("0").split(", ")
    zeros = "".join(f", {symbol} = 0" for symbol in others)
    if bridge in ("dense", "mean_dense"):
        state = f"[{'; '.join([first, *others])}]" if others else first
        summary = "(1/S) sum_j h_j" if bridge == "mean_dense" else _summary_symbol(encoder or {})
        return f"{state} = tanh(W_b {summary} + b)"
    if bridge == "zeros":
        return f"{first} = 0{zeros}"
    if bridge in ("final", "final_dense"):
        ends = {symbol: f"{symbol[0].replace('s', 'h')}_end" for symbol in (first, *others)}
        if bridge == "final":
            handed = ", ".join(f"{symbol} = {end}" for symbol, end in ends.items())
            return f"{handed} of the encoder's layer (through linear maps where the widths differ)"
        return ", ".join(f"{symbol} = relu(W [{end} of all layers] + b)" for symbol, end in ends.items())
    summary = "(1/S) sum_j h_j" if bridge == "mean" else _last_symbol(encoder or {})
    handed = " = ".join([*others, summary]) if bridge == "last_both" else f"{summary}{zeros}"
    return f"{first} = {handed} (through a linear map where the widths differ)"


def _last_symbol(encoder: Mapping[str, Any]) -> str:
    return "[h_S forward; h_1 backward]" if encoder.get("bidirectional") else "h_S"


def _summary_symbol(encoder: Mapping[str, Any]) -> str:
    return _last_symbol(encoder) if encoder.get("type") in CELLS else "(1/S) sum_j h_j"


# --------------------------------------------------------------------------------------------------------------------
# Numbers and tokens as they are said
# --------------------------------------------------------------------------------------------------------------------


SPACES = " ▁Ġ"  # as texts and tokenizers write them


def token_label(token: Mapping[str, Any]) -> str:
    """
    A token of a trace as it is shown: the text it stands for, a sign for each space of one that stands for nothing
    else, or its own name where it stands for none.
    """
    text = "" if is_unknown(token) else token.get("text", "")
    shown = text.strip() or text or token["token"]
    return visible(shown) if shown.strip(SPACES) else "␣" * len(shown)


def distinct_labels(tokens: Sequence[Mapping[str, Any]]) -> list[str]:
    """Labels of different tokens: of two that look alike, one that begins a word shows the blank before it."""
    labels = [token_label(token) for token in tokens]
    return [
        f"␣{label}" if labels.count(label) > 1 and token.get("text", "").startswith(" ") else label
        for token, label in zip(tokens, labels)
    ]


def is_unknown(token: Mapping[str, Any]) -> bool:
    """Whether a token stands for text that the tokenizer does not know."""
    return token["token"] in UNKNOWN


def said(number: float) -> str:
    """A probability or weight with two decimals, or with more where they would be 0.00 or 1.00."""
    if 0 < number < 0.005:
        return f"{number:.1g}"
    return f"{number:.3f}" if 0.995 <= number < 0.9995 else f"{number:.2f}"


def _quoted(token: Mapping[str, Any]) -> str:
    return f'"{closed(token_label(token))}"'


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


# --------------------------------------------------------------------------------------------------------------------
# Steps
# --------------------------------------------------------------------------------------------------------------------


def step_sentence(trace: Trace, step: int, *, layer: int = -1, head: int | None = None) -> str:
    """One sentence on what a step chose, and on what it had to go by.

    Args:
        trace: of a run.
        step: counted from 0.
        layer: of the attentions between encoder and decoder.
        head: counted from 0; None takes the mean of all heads.

    Raises:
        ValueError: if there is no such step.
    """
    facts = Facts(trace)
    if not 0 <= step < facts.steps:
        raise ValueError(f"There is no step {step + 1}: this run has {_count(facts.steps, 'step')}.")
    return sentence_of(facts, step, layer, head)


def sentence_of(facts: Facts, step: int, layer: int = -1, head: int | None = None) -> str:
    """[`step_sentence`] of what is known of a run."""
    entry = facts.document["steps"][step]
    choice = entry["choice"]
    chosen = f"{facts.chosen(step)} ({said(choice['probability'])})"
    if step:
        read = f"the decoder had read {facts.fed(step)}"
    else:
        read = f"the decoder had read only its start token {facts.fed(step)}"
    sentence = f"To choose {chosen}, {read} and {_looked(facts, step, layer, head)}."
    if choice["rank"] and choice["forced"]:
        sentence += f" The word was given: the model itself would have chosen {facts.candidate(step, 0)}."
    elif choice["rank"]:
        sentence += f" At this step alone, {facts.candidate(step, 0)} was more likely."
    return sentence


def _looked(facts: Facts, step: int, layer: int = -1, head: int | None = None) -> str:
    if facts.kind == "none":
        return "had the same single list of numbers for the whole source as at every other step"
    if not facts.attends:
        return "looked at the source in a way that this model does not reveal"
    row = facts.trace.weights(layer=layer, head=head)[step]
    notes = []
    if facts.heads > 1:
        notes.append(f"the mean of its {facts.heads} heads" if head is None else f"head {head + 1}")
    if facts.layers > 1:
        notes.append(f"layer {facts.trace.attended(layer) + 1}")
    note = f" [{', '.join(notes)}]" if notes else ""
    if facts.input is not None:
        return looked_where(facts.input, row, said, note)
    order = np.argsort(-row, kind="stable")
    first = f"{facts.at(order[0])} ({said(row[order[0]])})"
    if row[order[0]] > 0.5 or len(row) == 1:
        return f"looked mostly at {first}{note}"
    return f"looked most at {first}, then at {facts.at(order[1])} ({said(row[order[1]])}){note}"


# --------------------------------------------------------------------------------------------------------------------
# Chapters
# --------------------------------------------------------------------------------------------------------------------


def chapter_texts(trace: Trace) -> dict[str, ChapterText]:
    """The chapters of a run, in the order of its numbers, with its own words and its model's own parts."""
    return chapters_of(Facts(trace))


def chapters_of(facts: Facts) -> dict[str, ChapterText]:
    """[`chapter_texts`] of what is known of a run."""
    begin = (_tokens, _embeddings) if facts.input is None else (_received, _front_end)
    writers = dict(
        zip(TITLES, (*begin, _encoder, _handover, _step_input, _attention, _state, _choice, _loop), strict=True)
    )
    return {key: writers[key](TITLES[key], facts) for key in chapter_order(facts.document)}


def chapter_order(document: Mapping[str, Any]) -> list[str]:
    """The keys of `TITLES` in the order in which a run of this document computes what they show."""
    keys = list(TITLES)
    if document["decoder"].get("query") == "current":  # the new state asks
        keys.remove("state")
        keys.insert(keys.index("attention"), "state")
    return keys


ASKERS = {"previous": "s_(t-1)", "current": "s_t", "between": "s'_t"}  # by attention_query


class Facts:
    """What the chapters ask of a trace; parts that a model does not show are None or 0."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.document: dict[str, Any] = trace.document
        self.arrays = trace.arrays
        self.encoder = self.document["encoder"]
        self.decoder = self.document["decoder"]
        self.attention = self.document["attention"]
        self.input = trace.input
        self.nouns = nouns(self.input)
        self.run = self.document["run"]
        self.source = self.document["source"]["tokens"]
        self.target = self.document["target"]["tokens"]
        self.count = len(self.source)
        self.steps = len(self.document["steps"])
        self.config = self.document["model"]["config"]
        self.model_type = self.document["model"]["model_type"]
        self.own = self.model_type == AttnSeq2SeqConfig.model_type  # and not one of Transformers itself
        self.kind = self.attention["type"]
        self.told = KINDS.get(self.kind, UNTOLD)
        self.heads = self.attention.get("heads") or 1
        self.layers = len(self.attention.get("layers") or [])
        self.attends = any(name.endswith(".weights") and name.startswith("attention.") for name in self.arrays)

    @property
    def recurrent_decoder(self) -> bool:
        return self.decoder["type"] in CELLS

    @property
    def mixer(self) -> str | None:
        """What stands in for the self-attention of a Transformer decoder; None for self-attention itself."""
        mixer = self.decoder.get("mixer")
        return None if mixer == "attention" else mixer

    @property
    def asks_before(self) -> bool:
        return self.recurrent_decoder and self.decoder.get("query") == "previous"

    @property
    def asker(self) -> str:
        """The symbol of the state that asks."""
        if not self.recurrent_decoder:
            return "u_t"
        return ASKERS.get(self.decoder.get("query") or "", "s_t")

    @property
    def asks_between(self) -> bool:
        return self.recurrent_decoder and self.decoder.get("query") == "between"

    def width(self, name: str) -> int | None:
        """The last dimension of an array, where it is there."""
        return self.arrays[name].shape[-1] if name in self.arrays else None

    def numbers(self, name: str) -> str:
        """ "a list of 256 numbers", without the count where it is not known."""
        width = self.width(name)
        return "a list of numbers" if width is None else f"a list of {_count(width, 'number')}"

    @property
    def reads(self) -> str:
        whole = self.nouns.whole
        return f"the one list for the whole {whole}" if self.kind == "none" else f"what it reads of the {self.source_}"

    @property
    def source_(self) -> str:
        """What it attends to, in a sentence."""
        return "source" if self.input is None else self.nouns.whole

    def chosen(self, step: int) -> str:
        return self.named("target", step)

    def fed(self, step: int) -> str:
        return self.named("target", step - 1) if step else _quoted(self.document["start"])

    def named(self, side: str, position: int) -> str:
        """A token, with its word where it is a piece of one."""
        part = self.document[side]
        token, name = part["tokens"][position], _quoted(part["tokens"][position])
        word = token.get("word")
        pieces = sum(each.get("word") == word for each in part["tokens"])
        if word is None or pieces == 1 or not self.has_pieces(side):
            return name
        return f'the piece {name} of "{closed(visible(part["words"][word]["text"]))}"'

    def has_pieces(self, side: str) -> bool:
        """Whether tokens are words or pieces of them, and not characters, or words of a script without blanks."""
        tokens, text = self.document[side]["tokens"], self.document[side]["text"]
        spelled = all(token.get("special") or len(token["text"].strip()) <= 1 for token in tokens)
        return not spelled and re.search(UNSPACED, text) is None

    def candidate(self, step: int, rank: int) -> str:
        """A candidate and its probability."""
        candidate = self.document["steps"][step]["candidates"][rank]
        return f"{_quoted(candidate)} ({said(candidate['probability'])})"

    def at(self, position: int) -> str:
        """A source token, with its place where it occurs more than once."""
        label, name = _quoted(self.source[position]), self.named("source", position)
        same = sum(_quoted(token) == label for token in self.source)
        return f"{name} at position {position + 1}" if same > 1 else name


def proof_note(trace: Trace) -> str:
    """What a weight does not show."""
    return NOT_PROOF if trace.input is None else not_proof(trace.input)


def _received(title: str, facts: Facts) -> ChapterText:
    assert facts.input is not None
    return _told(received(facts.input))


def _front_end(title: str, facts: Facts) -> ChapterText:
    assert facts.input is not None
    vectors = facts.arrays.get("encoder.embeddings")
    numbers = facts.numbers("encoder.embeddings")
    return _told(front_end(facts.input, numbers, None if vectors is None else vectors.shape))


def _told(told: Told) -> ChapterText:
    return ChapterText(told.title, told.plain, told.exact, told.formula)


def _tokens(title: str, facts: Facts) -> ChapterText:
    labels = " | ".join(token_label(token) for token in facts.source)
    labels += " (␣ is a space)" if "␣" in labels else ""
    first = next((token for token in facts.source if not token["special"]), facts.source[0])
    plain = (
        f"The text is split into {_count(facts.count, 'token')}, the pieces that the model knows: {labels}. "
        f"Each token is replaced by its number in the vocabulary: {_quoted(first)} is number {first['id']}."
    )
    special = [_quoted(token) for token in facts.source if token["special"] and token.get("span") is None]
    if special:
        verb = "is not a word but a marker" if len(set(special)) == 1 else "are not words but markers"
        plain += f" {' and '.join(dict.fromkeys(special))} {verb} added by the tokenizer, such as the end of the text."
    unknown = [token for token in facts.source if is_unknown(token)]
    if unknown and unknown[0].get("span"):
        a, b = unknown[0]["span"]
        written = visible(facts.document["source"]["text"][a:b])
        plain += f' "{written}" is not in the vocabulary, so the model only sees {_quoted(unknown[0])} in its place.'
    sizes = facts.config.get("vocab_size"), facts.config.get("decoder_vocab_size") or facts.config.get("vocab_size")
    exact = f"x_1 ... x_S are S = {facts.count} ids"
    if sizes[0]:
        exact += f" of a source vocabulary of V = {sizes[0]:,}; the target vocabulary has {sizes[1]:,}"
    return ChapterText(title, plain, f"{exact}.", "x = (x_1, ..., x_S), x_j in {0, ..., V - 1}")


def _embeddings(title: str, facts: Facts) -> ChapterText:
    plain = (
        f"The number of a token selects a row of a table: {facts.numbers('encoder.embeddings')}, called its "
        "embedding. These numbers were learned in training, and a token has the same row wherever it occurs."
    )
    size = facts.width("encoder.embeddings")
    shape = f"are {(facts.count, size)}" if size else "are not shown by this model"
    exact = f"E x_j is row x_j of the source embedding table; the embeddings {shape}."
    if facts.encoder["type"] != "transformer":
        return ChapterText(title, plain, exact, "E x_j")
    if not facts.own:
        plain += " The position of each token is added too, since this encoder reads all tokens at once."
        return ChapterText(title, plain, f"{exact} Positions are encoded as in {facts.model_type} models.", "E x_j")
    position, scaled = facts.config["position_type"], facts.config.get("scale_embeddings", True)
    row, rows = ("sqrt(w) E x_j", "scaled rows") if scaled else ("E x_j", "rows")
    if position == "rotary":
        plain += (
            " The position of each token comes in later: inside the encoder, the vectors compared are rotated by it."
        )
        exact += f" Inputs are {row}; queries and keys are rotated by their positions (Su et al. 2021, eq. 34)."
        return _inputs(title, plain, exact, row, facts)
    plain += " Since this encoder reads all tokens at once, numbers that encode the position of each token are added."
    if position == "learned":
        exact += f" Inputs are the {rows} plus learned rows P_j for the positions."
        return _inputs(title, plain, exact, f"{row} + P_j", facts)
    order = "" if position == "sinusoidal" else ", with all sines before all cosines"
    if position == "sinusoidal_halves":
        order += ", sine and cosine i having the angle pos / 10000^(i / (w / 2 - 1)) where w is the width"
    exact += f" Inputs are the {rows} plus sinusoids (Vaswani et al. 2017, sections 3.4 and 3.5){order}."
    offset = facts.config.get("position_offset", 0)
    return _inputs(title, plain, exact, f"{row} + PE(j + {offset})" if offset else f"{row} + PE(j)", facts)


def _inputs(title: str, plain: str, exact: str, formula: str, facts: Facts) -> ChapterText:
    """The chapter on a Transformer's inputs, which some models normalize."""
    if not facts.config.get("embedding_norm", False):
        return ChapterText(title, plain, exact, formula)
    return ChapterText(title, plain, f"{exact} Then they are normalised.", f"LayerNorm({formula})")


def _encoder(title: str, facts: Facts) -> ChapterText:
    kind, layers = facts.encoder["type"], facts.encoder["layers"]
    one, many, whole = facts.nouns.one, facts.nouns.many, facts.nouns.whole
    states = facts.numbers("encoder.states")
    width = facts.width("encoder.states")
    shape = f"states are {(facts.count, width)}" if width else "states are not shown"
    stack = f" There are {layers} such layers, each reading the output of the one below." if layers > 1 else ""
    if kind == "transformer":
        plain = (
            f"Every {one} looks at all {many}, itself included, and takes from each as much as its weights say; then "
            f"a small network transforms each {one} separately.{stack} At the end each {one} has {states}, its state, "
            f"which describes the {one} in the context of the whole {'sentence' if facts.input is None else whole}."
        )
        heads, norm = facts.config.get("encoder_attention_heads"), facts.config.get("norm_position")
        exact = f"{_count(layers, 'Transformer layer')}"
        exact += f" with {_count(heads, 'self-attention head')}" if heads else ""
        exact += f", {norm}-normalisation" if norm else ""
        exact += f" (Vaswani et al. 2017, section 3.1); {shape}."
        if not facts.own:
            return ChapterText(title, plain, exact, "h_1 ... h_S = encoder(x_1 ... x_S)")
        alpha = facts.config.get("encoder_residual_alpha", 1.0)
        sums = "residual sums" if alpha == 1 else f"sums to {alpha:g} times what was read"
        return ChapterText(title, plain, exact, f"softmax(Q K^T / sqrt(d_k)) V, then {_network(facts)}, with {sums}")
    both = facts.encoder["bidirectional"]
    forwards, backwards = facts.nouns.forwards, facts.nouns.backwards
    if both:
        plain = (
            f"One reader goes through the {many} {forwards}, another {backwards}, and each keeps a "
            f"memory that it updates at every {one}. What both remember at a {one}, {states}, is the state of "
            f"that {one}: it describes the {one} and what is around it."
        )
    else:
        plain = (
            f"A reader goes through the {many} {forwards} and keeps a memory that it updates at every "
            f"{one}. What it remembers at a {one}, {states}, is the state of that {one}: it describes the {one} and "
            "what comes before it."
        )
    plain += f" Gates, numbers from 0 to 1, decide how much of the old memory is kept.{stack}"
    if facts.input is not None and facts.input["joins"]:
        below = "the first layer" if facts.input["joins"] == 1 else f"each of the first {facts.input['joins']} layers"
        plain += f" After {below}, neighbours are joined in pairs, so that {_count(facts.count, one, many)} remain."
    extras = [words for name, words in _EXTRAS.items() if facts.config.get(name)]
    exact = (
        f"A {'bi' if both else 'uni'}directional {CELLS[kind].name} of {_count(layers, 'layer')} ({CELLS[kind].paper})"
    )
    exact += f" with {' and '.join(extras)}" if extras else ""
    exact += f"; {shape}, h_j = [h_j forward; h_j backward]." if both else f"; {shape}."
    return ChapterText(title, plain, exact, "; ".join(gate_formulas(kind)))


def _handover(title: str, facts: Facts) -> ChapterText:
    size, count = facts.width("encoder.states"), facts.count
    start = _quoted(facts.document["start"])
    bridge = facts.document["handover"].get("bridge")
    if facts.kind == "none":
        plain = (
            f"However long the {facts.source_} is, the decoder receives a single "
            f"{facts.numbers('encoder.states')[2:]}. Everything it will ever know about the {facts.source_} must fit "
            "in there."
        )
    else:
        states = _count(count, facts.nouns.one, facts.nouns.many)
        plain = f"The decoder receives the states of all {states} and can look at them at every step."
    if facts.recurrent_decoder:
        made = {
            "dense": "computed from what the encoder remembers at its end, by a layer with its own weights",
            "mean_dense": "computed from the mean of the encoder's states, by a layer with its own weights",
            "last": "equal to what the encoder remembers at its end",
            "last_both": "in which every part equals what the encoder remembers at its end",
            "mean": "equal to the mean of the encoder's states",
            "zeros": "in which all numbers are 0",
            "final": "made of what each layer of the encoder remembers at its end, layer by layer",
            "final_dense": "computed from what all layers of the encoder remember at their ends",
        }
        if bridge == "dense" and facts.encoder["type"] == "transformer":
            made["dense"] = made["mean_dense"]
        plain += f" Its own memory starts as a state {made[bridge]}."
    elif facts.mixer:
        plain += " Its own memory, a list of numbers in each of its layers, starts with zeros."
    else:
        plain += " It has no memory of its own: at each step it looks back at all tokens chosen so far."
    plain += f" Its first input is the start token {start}."
    exact = facts.told.memory.format(width=f", of width {size}" if size else "")
    if "handover.state" in facts.arrays:
        shape = facts.arrays["handover.state"].shape
        parts = " and ".join({"hidden": "h", "cell": "m"}[part] for part in CELLS[facts.decoder["type"]].state)
        exact += f"; the initial state is {shape}: layers, parts ({parts}), width"
    if bridge == "dense":
        exact += " (after Bahdanau et al. 2015, A.2.2, which uses h_1 backward only)"
    formula = bridge_formula(bridge, facts.encoder, facts.decoder["type"], facts.mixer is not None)
    if facts.kind == "none":
        formula = f"{context_formula('none', 1, facts.encoder)}; {formula}"
    return ChapterText(title, plain, f"{exact}.", formula)


def _step_input(title: str, facts: Facts) -> ChapterText:
    numbers = facts.numbers("decoder.embeddings")
    becomes = f"Like a source token, it becomes an embedding, {numbers}."
    if facts.input is not None:
        becomes = f"Its number selects a row of a table, its embedding: {numbers}."
    plain = (
        "At each step the decoder reads the previous token, the one that it chose at the step before, or at the first "
        f"step the start token {_quoted(facts.document['start'])}. {becomes}"
    )
    if facts.config.get("zero_start"):
        plain += " Before the first word there is no previous one: the decoder then reads zeros."
    size = facts.width("decoder.embeddings")
    shape = f"decoder embeddings are {(facts.steps, size)}" if size else "decoder embeddings are not shown"
    if facts.recurrent_decoder:
        return _recurrent_input(title, facts, plain, shape)
    if facts.mixer:
        return _mixer_input(title, facts, plain, shape)
    plain += (
        " The decoder has no other memory: this token looks back at all tokens chosen so far, and takes from each "
        "as much as its weights say."
    )
    exact = (
        f"{_count(facts.decoder['layers'], 'layer')} with causal self-attention over y_0 ... y_(t-1) "
        f"(Vaswani et al. 2017, section 3.1); {shape}."
    )
    return ChapterText(title, plain, exact, "u_t = SelfAttention(y_0, ..., y_(t-1)), with weight 0 on later tokens")


def _recurrent_input(title: str, facts: Facts, plain: str, shape: str) -> ChapterText:
    """The step input of a recurrent decoder: what its cell will read, and its memory."""
    cell = CELLS[facts.decoder["type"]]
    exact = f"{shape[0].upper()}{shape[1:]}; y_0 is the start token."
    old = cell.symbols("(t-1)")
    if facts.decoder.get("input_feeding"):
        plain += " Beside it the decoder reads the vector from which it made its last choice."
        exact += " r_(t-1) is the previous input of the output layer (input feeding, Luong et al. 2015, section 3.3)."
    inputs = ["E y_(t-1)", *(["r_(t-1)"] if facts.decoder.get("input_feeding") else [])]
    if facts.asks_between:
        plain += (
            " From this and from its memory of the previous steps, a first cell computes the memory with which the "
            "decoder asks."
        )
        joined = inputs[0] if len(inputs) == 1 else f"[{'; '.join(inputs)}]"
        middle = cell.symbols("t").replace("_t", "'_t")
        return ChapterText(title, plain, exact, f"{middle} = {cell.name}({joined}, {old}){_shown_state(facts)}")
    plain += " It also has its memory of the previous steps, the state, which "
    plain += "asks next what to look at." if facts.asks_before else "this token changes next."
    return ChapterText(title, plain, exact, f"{', '.join(inputs)} and {old}")


def _shown_state(facts: Facts) -> str:
    """The equation of the shown state of a cell that hands on another."""
    cell = CELLS[facts.decoder["type"]]
    shown = "" if "hidden" in cell.state else f"; s_t = {cell.formulas[-1].split(' = ')[1]}"
    return shown.replace("m'", "m_t")


def _state(title: str, facts: Facts) -> ChapterText:
    """What a step makes of the token it read and of what it read from the source."""
    if not facts.recurrent_decoder:
        return _transformer_state(title, facts)
    feeding, before = bool(facts.decoder.get("input_feeding")), facts.asks_before
    cell = CELLS[facts.decoder["type"]]
    context = "c" if facts.kind == "none" else "c_t"
    new, old = (cell.symbols(index) for index in ("t", "(t-1)"))
    if facts.asks_between:
        middle = cell.symbols("t").replace("_t", "'_t")
        read = f"the memory that asked and from {facts.reads}, a second cell computes the new memory"
        formula = f"{new} = {cell.name}'({context}, {middle}){_shown_state(facts)}"
    else:
        parts = [
            "the previous token",
            *([facts.reads] if before else []),
            *(["the vector of its last choice"] if feeding else []),
        ]
        read = f"{', from '.join(parts)} and from its memory of the previous steps, it computes its new memory"
        inputs = ["E y_(t-1)", *([context] if before else []), *(["r_(t-1)"] if feeding else [])]
        joined = inputs[0] if len(inputs) == 1 else f"[{'; '.join(inputs)}]"
        formula = f"{new} = {cell.name}({joined}, {old}){_shown_state(facts)}"
    plain = f"The decoder changes its memory: from {read}, the state. "
    kept = "Gates, numbers from 0 to 1, decide how much of the old memory is kept."
    use = "The word is chosen from it, and the next step starts from it."
    if not before and not facts.asks_between:
        use = "It asks next what to look at; the word is chosen from it, and the next step starts from it."
    plain += f"{kept} {use}"
    if before:
        when = "The query was the state before the step, and the context enters the cell (Bahdanau et al. 2015)"
    elif facts.asks_between:
        when = "The query was the state between two cells, and the context enters the second (Sennrich et al. 2017)"
    else:
        when = "The query is this state (Luong et al. 2015)"
    if facts.kind == "none":
        when = "The fixed context enters the cell at every step, and the readout"
        if not before and not facts.asks_between:
            when = "The fixed context enters the readout, together with this state"
    layers = facts.decoder.get("layers") or 1
    size = facts.width("decoder.state")
    shape = f"; new states are {(facts.steps, size)}" if size else ""
    exact = f"{cell.article.capitalize()} {cell.name} of {_count(layers, 'layer')}{shape}. {when}."
    return ChapterText(title, plain, exact, formula)


def _transformer_state(title: str, facts: Facts) -> ChapterText:
    layers = facts.decoder["layers"]
    size = facts.width(f"decoder.layer.{layers - 1}.states")
    plain = (
        f"{facts.reads[0].upper()}{facts.reads[1:]} is added to the token's vector, and a small network then "
        f"transforms the sum."
    )
    if layers > 1:
        plain += (
            f" This ends one layer; there are {layers}, each of which looks again and reads the result of the one "
            "below."
        )
    plain += " What the last layer gives is the state from which the word is chosen."
    shape = f"states of each layer are {(facts.steps, size)}" if size else "states are not shown"
    exact = f"{_count(layers, 'Transformer layer')} (Vaswani et al. 2017, section 3.1); {shape}."
    if not facts.own:
        return ChapterText(title, plain, exact, "s_t = FFN(u_t + c_t), layer by layer")
    alpha = facts.config.get("residual_alpha", 1.0)
    times = "" if alpha == 1 else f"{alpha:g} "
    pre = facts.decoder.get("norm_position") == "pre"
    read = "c_t" if facts.told.projects else "W_x c_t + b_x"
    sums = (
        f"x = {times}w_t + {read}, u_t = LayerNorm(w_t); s_t = {times}x + FFN(LayerNorm(x))"
        if pre
        else f"x = LayerNorm({times}u_t + {read}); s_t = LayerNorm({times}x + FFN(x))"
    )
    return ChapterText(title, plain, exact, f"{sums}; FFN(x) = {_network(facts)}")


def _network(facts: Facts) -> str:
    """The small network of a Transformer layer."""
    act = facts.config["hidden_act"]
    return ("max(0, x W_1 + b_1)" if act == "relu" else f"{act}(x W_1 + b_1)") + " W_2 + b_2"


def _mixer_input(title: str, facts: Facts, plain: str, shape: str) -> ChapterText:
    """The step input of a Transformer decoder without self-attention."""
    assert facts.mixer is not None
    told = MIXERS[facts.mixer]
    plain += f" {told.plain(facts.config)}"
    exact = f"{_count(facts.decoder['layers'], 'layer')} with {told.paper} in place of self-attention; {shape}."
    exact = f"{exact} {told.exact(facts.config)}".strip()
    return ChapterText(title, plain, exact, "; ".join(mixer_formulas(facts.config)))


def _attention(title: str, facts: Facts) -> ChapterText:
    if facts.kind == "none":
        plain = (
            "This model has no attention. At every step the decoder has the same single list of numbers for the whole "
            f"{facts.source_}, and cannot look at individual "
            f"{'words' if facts.input is None else facts.nouns.many} again: attention was invented to solve this "
            "problem."
        )
        exact = f"The context is fixed ({facts.told.paper}; Sutskever et al. 2014): no query, no scores, no weights."
        return ChapterText(title, plain, exact, context_formula("none", 1, facts.encoder))
    one, units = facts.nouns.one, facts.nouns.many
    key_of = "source token" if facts.input is None else one
    asks = "Before reading the token, the decoder's memory" if facts.asks_before else "The decoder's state"
    plain = facts.told.asks.format(asks=asks, key=key_of, source=facts.source_, units=units) + " "
    if facts.told.plain:
        plain += facts.told.plain.format(one=one, units=units) + " "
    normalizer = facts.attention.get("normalizer") or "softmax"
    rule = "Moving on and stopping" if facts.told.selects else f"A function called {normalizer}"
    many = ""
    if facts.heads > 1 or facts.layers > 1:
        parts = [_count(facts.heads, "head")] if facts.heads > 1 else []
        parts += [f"each of {_count(facts.layers, 'layer')}"] if facts.layers > 1 else []
        many = f", separately in {' in '.join(parts)}"
    values = ","
    if facts.told.terms:
        which = "a matrix makes of" if facts.told.projects else "are parts of" if facts.heads > 1 else "are"
        values = f", which {which} their encoder states,"
    plain += (
        f"{rule} turns the scores into weights that sum to 1, and the context is the sum of the {units}' "
        f"values{values} each multiplied by its weight{many}."
    )
    name = facts.kind.replace("_", "-").capitalize()
    paper = f" ({facts.told.paper})" if facts.told.paper else ""
    exact = f"{name} attention{paper} with query {facts.asker}{_attention_shapes(facts)}."
    if facts.told.exact and facts.own:
        exact += f" {facts.told.exact}"
    if not facts.told.terms:
        exact += " The explanation has no formula for this kind: its numbers are shown, and its scores not recomputed."
        return ChapterText(title, plain, exact, f"e_tj = score({facts.asker}, h_j)")
    scaled = facts.attention.get("scaling", 1.0) != 1.0
    formulas = (
        score_formula(
            facts.kind,
            facts.asker,
            scaled,
            bias=bool(facts.config.get("attention_bias")),
            weight_norm=bool(facts.config.get("attention_weight_norm")),
        ),
        weights_formula(facts.kind, normalizer),
        context_formula(facts.kind, facts.heads, facts.encoder),
    )
    return ChapterText(title, plain, exact, "; ".join(formulas))


def _attention_shapes(facts: Facts) -> str:
    """The shapes of what is recorded, of the last layer that attends."""
    prefix = f"attention.{facts.attention['layers'][-1]}." if facts.layers else ""
    shapes = [
        f"{name} {facts.arrays[prefix + name].shape}"
        for name in ("query", "keys", "values", "scores", "weights", "context")
        if prefix + name in facts.arrays
    ]
    return f"; {', '.join(shapes)}" if shapes else ""


def _choice(title: str, facts: Facts) -> ChapterText:
    size = facts.config.get("decoder_vocab_size") or facts.config.get("vocab_size")
    every = f"each of the {size:,} target tokens" if size else "each token of the target vocabulary"
    pointed = "pointer.gate" in facts.arrays
    plain = (
        f"From its new state and what it read, the decoder gives {every} a score, called a logit, and softmax turns "
        "the logits into probabilities that sum to 1. "
    )
    if pointed:
        plain += (
            "A second way to say a word is to copy it from the source: a share of each step, p_gen, is left to the "
            "softmax, and the rest goes to the source's words, as the attention weighs them. "
        )
    beams = facts.run["num_beams"]
    if facts.run.get("forced"):
        plain += "Here the words were given beforehand, so the probabilities say how likely the model finds them. "
    elif beams > 1:
        plain += f"The {beams} best partial translations are kept side by side, and the best complete one is chosen. "
    else:
        plain += "The most probable token is chosen. "
    plain += "The end token is a token like any other: when it is chosen, the text is complete."
    hidden = facts.width("output.hidden")
    read = f"r_t ({hidden} numbers)" if hidden else "r_t"
    bias = " + b" if "output.bias" in facts.arrays else ""
    exact = f"p(y_t | y_<t, x) = softmax(z_t), z_t = W_out {read}{bias}"
    if pointed:
        exact = (
            "p(w) = p_gen P_vocab(w) + (1 - p_gen) sum over i with x_i = w of alpha_ti, P_vocab = softmax(z_t), z_t = "
            f"W_out {read}{bias}, p_gen = sigmoid(w_c c_t + w_s s_t + w_x E y_(t-1) + b) (See et al. 2017, eq. 8 and "
            "9); the logits shown are log p"
        )
    if facts.config.get("tie_word_embeddings"):
        exact += "; W_out is the target embedding table (Press and Wolf 2017)"
    exact += ". These are the model's own numbers, before any logits processor of generate()."
    changed = sum(bool(entry["processed"]) for entry in facts.document["steps"])
    if changed:
        exact += f" Logits processors changed scores at {_count(changed, 'step')}; the changes are shown there."
    pre = facts.decoder.get("norm_position") == "pre"
    readout = {
        "tanh": "r_t = tanh(W_c [s_t; c_t] + b)",
        "maxout": "r_t = maxout(U_o s_t + C_o c_t + V_o E y_(t-1) + b)",
        "affine": "r_t = W_c [s_t; c_t] + b",
        "deep": "r_t = tanh(W_c [s_t; c_t; E y_(t-1)] + b)",
        "linear": "r_t = s_t",
        "concat": "r_t = [s_t; c_t; E y_(t-1)]",
    }.get(facts.decoder.get("readout") or "", "r_t = LayerNorm(s_t)" if pre else "r_t = s_t")
    made = "exp(W_w r_t) / sum_w' exp(W_w' r_t)"
    if pointed:
        made = f"p_gen {made} + (1 - p_gen) sum_(i: x_i = w) alpha_ti"
    return ChapterText(title, plain, exact, f"{readout}; p(y_t = w) = {made}")


def _loop(title: str, facts: Facts) -> ChapterText:
    text = visible(facts.document["target"]["text"]) if facts.document["target"]["text"] else ""
    plain = (
        "The chosen token becomes the next input of the decoder, and everything from the step input on repeats. "
        f'After {_count(facts.steps, "step")} the text was "{text}". '
    )
    if facts.run["stopped"] == "end":
        plain += f"The decoder stopped because it chose the end token {facts.chosen(facts.steps - 1)}."
    elif facts.run.get("forced"):
        plain += "The decoder stopped where the given text ended."
    else:
        plain += (
            f"The end token was not chosen: decoding stopped at the limit of {facts.run['max_new_tokens']:,} tokens."
        )
    exact = "p(y | x) is the product of the steps' probabilities"
    total = sum(entry["choice"]["log_probability"] for entry in facts.document["steps"])
    exact += f"; here log p = {total:.4f}"
    if facts.run["num_beams"] > 1 and facts.run["score"] is not None:
        after = ", after logits processors," if any(entry["processed"] for entry in facts.document["steps"]) else ""
        exact += f". Beams are compared by log p{after} / T^{facts.run['length_penalty']:g} = {facts.run['score']:.4f}"
    return ChapterText(title, plain, f"{exact}.", "log p(y | x) = sum_t log p(y_t | y_1, ..., y_(t-1), x)")
