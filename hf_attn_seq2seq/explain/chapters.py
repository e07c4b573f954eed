# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The words of the eight chapters in which every view tells how a translation was made.

Steps and source positions are counted from 1 in what is said, as in the papers. `t` is a step, `j` a source
position, `i` a dimension; `x_j` are source tokens, `h_j` encoder states, `s_t` states of a recurrent decoder and `u_t`
of another, `y_t` target tokens, `e_tj` scores, `a_tj` weights, `c_t` contexts, `r_t` what the output layer reads, and
`m` is the cell of an LSTM, which papers call c too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_attn_seq2seq.configuration_attn_seq2seq import AttnSeq2SeqConfig
from hf_attn_seq2seq.explain.heatmap import closed, visible


if TYPE_CHECKING:
    from hf_attn_seq2seq.explain.trace import Trace


TITLES = {
    "tokens": "Tokens",
    "embeddings": "Embeddings",
    "encoder": "Encoder",
    "handover": "Handover",
    "step_input": "Step input",
    "attention": "Attention",
    "choice": "Choice and stop",
    "loop": "The loop",
}

NOT_PROOF = (
    "A large weight shows what the decoder read, not why it chose: each encoder state also knows of the words around "
    "its token. Other views ask more: weighted norms, how much of a token went into the context; erasure, what "
    "happens to the choice without it; gradient x input, how the choice answers to small changes; none alone is "
    "the whole reason."
)

PAPERS = {
    "additive": "Bahdanau et al. 2015, A.1.2",
    "dot": 'Luong et al. 2015, section 3.1, "dot"',
    "general": 'Luong et al. 2015, section 3.1, "general"',
    "concat": 'Luong et al. 2015, section 3.1, "concat"',
    "scaled_dot": "Vaswani et al. 2017, eq. 1, without projections",
    "multi_head": "Vaswani et al. 2017, section 3.2.2",
    "local_m": "Luong et al. 2015, section 3.2, local-m",
    "local_p": "Luong et al. 2015, eq. 9 and 10, local-p",
    "location": "Luong et al. 2015, eq. 8",
    "location_aware": "Chorowski et al. 2015, eq. 8 and 9",
    "coverage": "See et al. 2017, eq. 10 and 11",
    "monotonic": "Raffel et al. 2017, eq. 11 to 16",
    "none": "Cho et al. 2014, section 2.2",
}

_GRU = (
    "r = sigmoid(W_r x + U_r h + b_r)",
    "z = sigmoid(W_z x + U_z h + b_z)",
    "n = tanh(W_n x + b_n + r (U_n h + d_n))",
    "h' = (1 - z) n + z h",
)
_LSTM = (
    "i = sigmoid(W_i x + U_i h + b_i)",
    "f = sigmoid(W_f x + U_f h + b_f)",
    "o = sigmoid(W_o x + U_o h + b_o)",
    "g = tanh(W_g x + U_g h + b_g)",
    "m' = f m + i g",
    "h' = o tanh(m')",
)

UNKNOWN = ("<unk>", "[UNK]")  # as tokenizers of this package, of SentencePiece and of BERT call it

_EXTRAS = {"residual": "residual sums between layers", "layer_norm": "layer normalisation"}

_INNER = {
    "additive": "v_i tanh(q_i + k_i)",
    "concat": "v_i tanh(q_i + k_i)",
    "location_aware": "v_i tanh(q_i + k_i + f_i)",
    "coverage": "v_i tanh(q_i + k_i + w_i g_tj)",
    "monotonic": "v_i tanh(q_i + k_i)",
}


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


def score_formula(kind: str, asker: str = "s_(t-1)", scaled: bool = True) -> str:
    """The score of source position `j` at step `t`.

    Args:
        kind: of attention, one of `ATTENTION_TYPES`.
        asker: the symbol of the decoder state that asks.
        scaled: False where a "multi_head" attention leaves out the division by sqrt(d_k), as T5's does.

    Raises:
        ValueError: for an unknown kind.
    """
    if kind not in PAPERS:
        raise ValueError(f"There is no attention of kind {kind!r}: choose one of {', '.join(PAPERS)}.")
    if kind == "none":
        return "no scores: the context is the same at every step"
    if kind == "location":
        return f"e_tj = sum_i W_a[j, i] s_i, s = {asker}"
    if kind in ("dot", "scaled_dot", "general", "local_m", "local_p", "multi_head"):
        division = " / sqrt(d_k)" if kind == "scaled_dot" or (kind == "multi_head" and scaled) else ""
        query = f"W^Q {asker}" if kind == "multi_head" else asker
        key = {"multi_head": "W^K h_j", "dot": "h_j", "scaled_dot": "h_j"}.get(kind, "W_a h_j")
        return f"e_tj = sum_i q_i k_i{division}, q = {query}, k = {key}"
    more = {
        "location_aware": ", f = U (F * a_(t-1))_j",
        "coverage": ", g_tj = sum_(t' < t) a_t'j",
        "monotonic": ", v = g v' / |v'|",
    }.get(kind, "")
    offset = " + r" if kind == "monotonic" else ""
    bias = "" if kind in ("additive", "concat") else " + b"
    return f"e_tj = sum_i {_INNER[kind]}{offset}, q = W_a {asker}, k = U_a h_j{bias}{more}"


def weights_formula(kind: str, normalizer: str = "softmax") -> str:
    """How the scores of a step become weights; for an unknown normaliser, only its name."""
    if kind == "none":
        return "no weights"
    if kind == "monotonic":
        return "a_tj = p_tj q_tj, p_tj = sigmoid(e_tj), q_tj = (1 - p_t(j-1)) q_t(j-1) + a_(t-1)j"
    formula = {
        "softmax": "a_tj = exp(e_tj) / sum_k exp(e_tk)",
        "sparsemax": "a_tj = max(0, e_tj - tau), tau such that sum_j a_tj = 1",
        "entmax15": "a_tj = max(0, e_tj / 2 - tau)^2, tau such that sum_j a_tj = 1",
    }.get(normalizer, f"a_t = {normalizer}(e_t)")
    if kind == "local_m":
        return f"{formula}, over |j - min(t, S)| <= D alone"
    if kind == "local_p":
        gaussian = "exp(-(j - 1 - p_t)^2 / (2 (D/2)^2))"
        return f"{formula}, over |j - 1 - p_t| <= D alone; then a_tj {gaussian}, divided by its sum"
    return formula


def context_formula(kind: str, heads: int = 1, encoder: Mapping[str, Any] | None = None) -> str:
    """What the weights make of the source.

    Args:
        kind: of attention, one of `ATTENTION_TYPES`.
        heads: of that attention.
        encoder: `document["encoder"]` of a trace; it decides what the one vector of kind "none" is.
    """
    if kind == "none":
        return f"c = {_summary_symbol(encoder or {})}"
    if kind == "multi_head":
        if heads == 1:
            return "c_t = W^O sum_j a_tj v_j, v_j = W^V h_j"
        return "c_t = W^O [c_t^1; ...; c_t^H], c_t^n = sum_j a_tj^n v_j^n, v_j^n = W_n^V h_j"
    if heads == 1:
        return "c_t = sum_j a_tj h_j"
    return "c_t = [c_t^1; ...; c_t^H], c_t^n = sum_j a_tj^n h_j^n, h_j^n the n-th part of h_j"


def gate_formulas(cell: str) -> tuple[str, ...]:
    """The equations of a recurrent cell, "gru" or "lstm", in order; none for another type of layer."""
    return {"gru": _GRU, "lstm": _LSTM}.get(cell, ())


def bridge_formula(bridge: str | None, encoder: Mapping[str, Any] | None = None, decoder_type: str = "gru") -> str:
    """How the decoder's first state is made.

    Args:
        bridge: "dense", "last", "mean" or "zeros"; None for a decoder without a state.
        encoder: `document["encoder"]` of a trace.
        decoder_type: "gru" or "lstm".
    """
    if bridge is None:
        return "h_1 ... h_S are handed over; the decoder has no first state"
    cell = ", m_0 = 0" if decoder_type == "lstm" else ""
    if bridge == "dense":
        state = "[s_0; m_0]" if decoder_type == "lstm" else "s_0"
        return f"{state} = tanh(W_b {_summary_symbol(encoder or {})} + b)"
    if bridge == "zeros":
        return f"s_0 = 0{cell}"
    summary = "(1/S) sum_j h_j" if bridge == "mean" else _last_symbol(encoder or {})
    return f"s_0 = {summary}{cell} (through a linear map where the widths differ)"


def _last_symbol(encoder: Mapping[str, Any]) -> str:
    return "[h_S forward; h_1 backward]" if encoder.get("bidirectional") else "h_S"


def _summary_symbol(encoder: Mapping[str, Any]) -> str:
    return _last_symbol(encoder) if encoder.get("type") in ("gru", "lstm") else "(1/S) sum_j h_j"


# --------------------------------------------------------------------------------------------------------------------
# Numbers and tokens as they are said
# --------------------------------------------------------------------------------------------------------------------


def token_label(token: Mapping[str, Any]) -> str:
    """A token of a trace as it is shown: the text it stands for, or its own name where it stands for none."""
    text = "" if is_unknown(token) else token.get("text", "")
    return visible(text.strip() or text or token["token"])


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
    facts = _Facts(trace)
    if not 0 <= step < facts.steps:
        raise ValueError(f"There is no step {step + 1}: this run has {_count(facts.steps, 'step')}.")
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
        sentence += f" At this step alone {facts.candidate(step, 0)} was likelier."
    return sentence


def _looked(facts: _Facts, step: int, layer: int = -1, head: int | None = None) -> str:
    if facts.kind == "none":
        return "had the same one list of numbers for the whole text as at every step"
    if not facts.attends:
        return "looked at the source in a way that this model does not show"
    row = facts.trace.weights(layer=layer, head=head)[step]
    order = np.argsort(-row, kind="stable")
    first = f"{facts.at(order[0])} ({said(row[order[0]])})"
    notes = []
    if facts.heads > 1:
        notes.append(f"the mean of its {facts.heads} heads" if head is None else f"head {head + 1}")
    if facts.layers > 1:
        notes.append(f"layer {facts.trace.attended(layer) + 1}")
    note = f" [{', '.join(notes)}]" if notes else ""
    if row[order[0]] > 0.5 or len(row) == 1:
        return f"looked mostly at {first}{note}"
    return f"looked most at {first}, then at {facts.at(order[1])} ({said(row[order[1]])}){note}"


# --------------------------------------------------------------------------------------------------------------------
# Chapters
# --------------------------------------------------------------------------------------------------------------------


def chapter_texts(trace: Trace) -> dict[str, ChapterText]:
    """The eight chapters of a run, in order, with its own words and its model's own parts."""
    facts = _Facts(trace)
    writers = (_tokens, _embeddings, _encoder, _handover, _step_input, _attention, _choice, _loop)
    return {key: writer(title, facts) for (key, title), writer in zip(TITLES.items(), writers)}


class _Facts:
    """What the chapters ask of a trace; parts that a model does not show are None or 0."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.document: dict[str, Any] = trace.document
        self.arrays = trace.arrays
        self.encoder = self.document["encoder"]
        self.decoder = self.document["decoder"]
        self.attention = self.document["attention"]
        self.run = self.document["run"]
        self.source = self.document["source"]["tokens"]
        self.target = self.document["target"]["tokens"]
        self.steps = len(self.document["steps"])
        self.config = self.document["model"]["config"]
        self.model_type = self.document["model"]["model_type"]
        self.own = self.model_type == AttnSeq2SeqConfig.model_type  # and not one of Transformers itself
        self.kind = self.attention["type"]
        self.heads = self.attention.get("heads") or 1
        self.layers = len(self.attention.get("layers") or [])
        self.attends = any(name.endswith(".weights") and name.startswith("attention.") for name in self.arrays)
        self.example = min(1, self.steps - 1)  # a step whose last token is a word, where there is one

    @property
    def recurrent_decoder(self) -> bool:
        return self.decoder["type"] in ("gru", "lstm")

    @property
    def asks_before(self) -> bool:
        return self.recurrent_decoder and self.decoder.get("query") == "previous"

    @property
    def asker(self) -> str:
        """The symbol of the state that asks."""
        return ("s_(t-1)" if self.asks_before else "s_t") if self.recurrent_decoder else "u_t"

    def width(self, name: str) -> int | None:
        """The last dimension of an array, where it is there."""
        return self.arrays[name].shape[-1] if name in self.arrays else None

    def numbers(self, name: str) -> str:
        """ "a list of 256 numbers", without the count where it is not known."""
        width = self.width(name)
        return "a list of numbers" if width is None else f"a list of {_count(width, 'number')}"

    @property
    def reads(self) -> str:
        return "the one list for the whole text" if self.kind == "none" else "what it reads of the source"

    def chosen(self, step: int) -> str:
        return _quoted(self.target[step])

    def fed(self, step: int) -> str:
        return _quoted(self.target[step - 1] if step else self.document["start"])

    def candidate(self, step: int, rank: int) -> str:
        """A candidate and its probability."""
        candidate = self.document["steps"][step]["candidates"][rank]
        return f"{_quoted(candidate)} ({said(candidate['probability'])})"

    def at(self, position: int) -> str:
        """A source token, with its place where it occurs more than once."""
        label = _quoted(self.source[position])
        same = sum(_quoted(token) == label for token in self.source)
        return f"{label} at place {position + 1}" if same > 1 else label


def _tokens(title: str, facts: _Facts) -> ChapterText:
    labels = " | ".join(token_label(token) for token in facts.source)
    first = next((token for token in facts.source if not token["special"]), facts.source[0])
    plain = (
        f"The text is cut into {_count(len(facts.source), 'token')}, the pieces that the model knows: {labels}. "
        f"Each is replaced by its number in a list of all known pieces: {_quoted(first)} is number {first['id']}."
    )
    special = [_quoted(token) for token in facts.source if token["special"] and token.get("span") is None]
    if special:
        verb = "is no word but a sign" if len(set(special)) == 1 else "are no words but signs"
        plain += (
            f" {' and '.join(dict.fromkeys(special))} {verb} that the tokenizer adds, such as the end of the text."
        )
    unknown = [token for token in facts.source if is_unknown(token)]
    if unknown and unknown[0].get("span"):
        a, b = unknown[0]["span"]
        written = visible(facts.document["source"]["text"][a:b])
        plain += f' "{written}" is not in the list, so that the model sees only {_quoted(unknown[0])} in its place.'
    sizes = facts.config.get("vocab_size"), facts.config.get("decoder_vocab_size") or facts.config.get("vocab_size")
    exact = f"x_1 ... x_S are S = {len(facts.source)} ids"
    if sizes[0]:
        exact += f" of a source vocabulary of V = {sizes[0]:,}; the target vocabulary has {sizes[1]:,}"
    return ChapterText(title, plain, f"{exact}.", "x = (x_1, ..., x_S), x_j in {0, ..., V - 1}")


def _embeddings(title: str, facts: _Facts) -> ChapterText:
    plain = (
        f"The number of a token picks a row from a table: {facts.numbers('encoder.embeddings')}, called its "
        "embedding. Training chose these numbers, and a token has the same row wherever it stands."
    )
    size = facts.width("encoder.embeddings")
    shape = f"are {(len(facts.source), size)}" if size else "are not shown by this model"
    exact = f"E x_j is row x_j of the source embedding table; the embeddings {shape}."
    if facts.encoder["type"] != "transformer":
        return ChapterText(title, plain, exact, "E x_j")
    if not facts.own:
        plain += " The place of each token comes in too, for this encoder reads all tokens at once."
        return ChapterText(title, plain, f"{exact} Positions come in as {facts.model_type} models have them.", "E x_j")
    position = facts.config["position_type"]
    if position == "rotary":
        plain += " The place of each token comes in later, by turning what is compared inside the encoder."
        exact += " Inputs are sqrt(w) E x_j; queries and keys are turned by their positions (Su et al. 2021, eq. 34)."
        return ChapterText(title, plain, exact, "sqrt(w) E x_j")
    plain += " As this encoder reads all tokens at once, numbers that stand for the place of each token are added."
    if position == "learned":
        exact += " Inputs are the scaled rows plus learned rows P_j for the positions."
        return ChapterText(title, plain, exact, "sqrt(w) E x_j + P_j")
    exact += " Inputs are the scaled rows plus sinusoids (Vaswani et al. 2017, sections 3.4 and 3.5)."
    return ChapterText(title, plain, exact, "sqrt(w) E x_j + PE(j)")


def _encoder(title: str, facts: _Facts) -> ChapterText:
    kind, layers = facts.encoder["type"], facts.encoder["layers"]
    states = facts.numbers("encoder.states")
    width = facts.width("encoder.states")
    shape = f"states are {(len(facts.source), width)}" if width else "states are not shown"
    stack = f" {layers} layers of this lie on each other, each reading what the one below wrote." if layers > 1 else ""
    if kind == "transformer":
        plain = (
            "Every token looks at all tokens, itself included, and takes from each as much as its weights say; a "
            f"small network then works on each token alone.{stack} At the end each token has {states}, its state: it "
            "knows the token and the whole sentence."
        )
        heads, norm = facts.config.get("encoder_attention_heads"), facts.config.get("norm_position")
        exact = f"{_count(layers, 'Transformer layer')}"
        exact += f" with {_count(heads, 'self-attention head')}" if heads else ""
        exact += f", {norm}-normalisation" if norm else ""
        exact += f" (Vaswani et al. 2017, section 3.1); {shape}."
        if not facts.own:
            return ChapterText(title, plain, exact, "h_1 ... h_S = encoder(x_1 ... x_S)")
        act = facts.config["hidden_act"]
        network = "max(0, x W_1 + b_1)" if act == "relu" else f"{act}(x W_1 + b_1)"
        return ChapterText(
            title, plain, exact, f"softmax(Q K^T / sqrt(d_k)) V, then {network} W_2 + b_2, with residual sums"
        )
    both = facts.encoder["bidirectional"]
    if both:
        plain = (
            "One reader goes through the tokens from left to right, another from right to left, and each keeps a "
            f"memory that it changes at every token. What both remember at a token, {states}, is the state of "
            "that token: it knows the token and what stands around it."
        )
    else:
        plain = (
            "A reader goes through the tokens from left to right and keeps a memory that it changes at every "
            f"token. What it remembers at a token, {states}, is the state of that token: it knows the token and "
            "what stands before it."
        )
    plain += f" Gates, numbers from 0 to 1, decide how much of the old memory stays.{stack}"
    paper = {
        "gru": "Cho et al. 2014, eq. 5 to 8, the reset gate r after the product; z is the update gate, n the "
        "candidate",
        "lstm": "Hochreiter and Schmidhuber 1997; Gers et al. 2000; i, f, o are the input, forget and output gates, g "
        "the candidate, m the cell",
    }[kind]
    extras = [words for name, words in _EXTRAS.items() if facts.config.get(name)]
    exact = f"A {'bi' if both else 'uni'}directional {kind.upper()} of {_count(layers, 'layer')} ({paper})"
    exact += f" with {' and '.join(extras)}" if extras else ""
    exact += f"; {shape}, h_j = [h_j forward; h_j backward]." if both else f"; {shape}."
    return ChapterText(title, plain, exact, "; ".join(gate_formulas(kind)))


def _handover(title: str, facts: _Facts) -> ChapterText:
    size, count = facts.width("encoder.states"), len(facts.source)
    start = _quoted(facts.document["start"])
    bridge = facts.document["handover"].get("bridge")
    if facts.kind == "none":
        plain = (
            f"Of the whole source, however long, the decoder gets one {facts.numbers('encoder.states')[2:]}. "
            "All that it will ever know of the source must fit in there."
        )
    else:
        plain = f"The decoder gets the states of all {_count(count, 'token')}, to look at whenever it wants."
    if facts.recurrent_decoder:
        made = {
            "dense": "made from what the encoder remembers at its end, by one layer with weights of its own",
            "last": "what the encoder remembers at its end",
            "mean": "the mean of the encoder's states",
            "zeros": "empty: all numbers are 0",
        }
        if bridge == "dense" and facts.encoder["type"] == "transformer":
            made["dense"] = "made from the mean of the encoder's states, by one layer with weights of its own"
        plain += f" Its own memory starts as a state {made[bridge]}."
    else:
        plain += " It starts without a memory of its own: at each step it looks back at all words chosen so far."
    plain += f" The first thing it is told is the start token {start}."
    if facts.kind == "none":
        exact = "The context is one vector c for all steps"
    elif facts.kind == "multi_head":
        exact = "Keys are W^K h_j and values W^V h_j, for each head"
    elif facts.kind in ("dot", "scaled_dot"):
        exact = "Keys and values are the states h_j"
    elif facts.kind == "location":
        exact = "Values are the states h_j; there are no keys, for scores come from the asking state alone"
    else:
        matrix = "W_a" if facts.kind in ("general", "local_m", "local_p") else "U_a"
        exact = f"Keys are {matrix} h_j, projected once, and values are the states h_j"
    exact += f", of width {size}" if size and facts.kind != "multi_head" else ""
    if "handover.state" in facts.arrays:
        shape = facts.arrays["handover.state"].shape
        exact += f"; the first state is {shape}: layers, parts (h, and the cell of an LSTM), width"
    if bridge == "dense":
        exact += " (after Bahdanau et al. 2015, A.2.2, who read h_1 backward alone)"
    formula = bridge_formula(bridge, facts.encoder, facts.decoder["type"])
    if facts.kind == "none":
        formula = f"{context_formula('none', 1, facts.encoder)}; {formula}"
    return ChapterText(title, plain, f"{exact}.", formula)


def _step_input(title: str, facts: _Facts) -> ChapterText:
    step, kind = facts.example, facts.decoder["type"]
    plain = (
        f"At each step the decoder is told the word before: at step {step + 1} that is {facts.fed(step)}. "
        f"Like a source token it becomes an embedding, {facts.numbers('decoder.embeddings')}."
    )
    size = facts.width("decoder.embeddings")
    shape = f"decoder embeddings are {(facts.steps, size)}" if size else "decoder embeddings are not shown"
    if facts.recurrent_decoder:
        feeding = bool(facts.decoder.get("input_feeding"))
        also = [
            *([facts.reads] if facts.asks_before else []),
            *(["what it had worked out for its last choice"] if feeding else []),
            "its memory of the steps before",
        ]
        plain += f" From it, from {' and from '.join(also)} it makes its new memory."
        cell = kind.upper()
        context = "c" if facts.kind == "none" else "c_t"
        inputs = ["E y_(t-1)", *([context] if facts.asks_before else []), *(["r_(t-1)"] if feeding else [])]
        joined = inputs[0] if len(inputs) == 1 else f"[{'; '.join(inputs)}]"
        layers = facts.decoder.get("layers") or 1
        when = (
            "The state before the step asks, and the context enters the cell (Bahdanau et al. 2015)"
            if facts.asks_before
            else "The state after the step asks (Luong et al. 2015)"
        )
        if facts.kind == "none":
            when = "The one context enters the cell at every step, and the readout"
            when = when if facts.asks_before else "The one context meets the new state in the readout"
        fed = ""
        if feeding:
            fed = "; r_(t-1) is the vector that the output layer read (input feeding, Luong et al. 2015, section 3.3)"
        article = "An" if kind == "lstm" else "A"
        exact = f"{article} {cell} of {_count(layers, 'layer')}; {shape}. {when}{fed}."
        new, old = ("s_t, m_t", "s_(t-1), m_(t-1)") if kind == "lstm" else ("s_t", "s_(t-1)")
        return ChapterText(title, plain, exact, f"{new} = {cell}({joined}, {old})")
    plain += (
        " The decoder has no other memory: this word looks back at all words chosen so far, and takes from each "
        "as much as its weights say."
    )
    exact = (
        f"{_count(facts.decoder['layers'], 'layer')} with causal self-attention over y_0 ... y_(t-1) "
        f"(Vaswani et al. 2017, section 3.1); {shape}."
    )
    return ChapterText(title, plain, exact, "u_t = SelfAttention(y_0, ..., y_(t-1)), weights 0 on what comes later")


def _attention(title: str, facts: _Facts) -> ChapterText:
    if facts.kind == "none":
        plain = (
            "This model has no attention. At every step the decoder has the same one list of numbers for the whole "
            "source, and cannot look again at a single word: that is what attention was invented for."
        )
        exact = f"The context is fixed ({PAPERS['none']}; Sutskever et al. 2014): no query, no scores, no weights."
        return ChapterText(title, plain, exact, context_formula("none", 1, facts.encoder))
    asks = "Before it takes in the word, the decoder's memory" if facts.asks_before else "The decoder's state"
    if facts.kind == "location":
        plain = (
            f"{asks} alone says which places of the source to look at: a score for the first place, the second, and "
            "so on, whatever stands there. "
        )
    else:
        plain = (
            f"{asks} asks a question, the query, and compares it with a key of every source token: the better they "
            "fit, the higher the score. "
        )
    plain += {
        "local_m": "Only tokens near the place of the step itself may be looked at. ",
        "local_p": "It first says which place it expects, and only tokens near that place may be looked at. ",
        "location_aware": "The score also depends on where the step before looked. ",
        "coverage": "The score also depends on how much of each token was looked at before. ",
        "monotonic": "From where the step before looked it goes right; each score says how likely it stops there. ",
    }.get(facts.kind, "")
    normalizer = facts.attention.get("normalizer") or "softmax"
    rule = "Going on and stopping" if facts.kind == "monotonic" else f"A rule called {normalizer}"
    many = ""
    if facts.heads > 1 or facts.layers > 1:
        parts = [_count(facts.heads, "head")] if facts.heads > 1 else []
        parts += [f"each of {_count(facts.layers, 'layer')}"] if facts.layers > 1 else []
        many = f", all this in {' in '.join(parts)} apart"
    plain += (
        f"{rule} turns the scores into weights that sum to 1, and the sum of what each token holds, its value times "
        f"its weight, is the context{many}. "
    )
    plain += (
        f"At step {facts.example + 1}, to choose {facts.chosen(facts.example)}, it {_looked(facts, facts.example)}."
    )
    name = facts.kind.replace("_", "-").capitalize()
    exact = f"{name} attention ({PAPERS[facts.kind]}), asked by {facts.asker}{_attention_shapes(facts)}."
    if facts.kind == "local_p":
        exact += " p_t = S sigmoid(v_p . tanh(W_p s)); that the product is divided by its sum is not in the paper."
    if facts.kind == "multi_head" and facts.own:
        exact += " All four projections also add a bias."
    if facts.kind == "monotonic":
        exact += " What is selected nowhere stays on the last position, so that a row sums to 1."
    scaled = facts.attention.get("scaling", 1.0) != 1.0
    formulas = (
        score_formula(facts.kind, facts.asker, scaled),
        weights_formula(facts.kind, normalizer),
        context_formula(facts.kind, facts.heads, facts.encoder),
    )
    return ChapterText(title, plain, exact, "; ".join(formulas))


def _attention_shapes(facts: _Facts) -> str:
    """The shapes of what is recorded, of the last layer that attends."""
    prefix = f"attention.{facts.attention['layers'][-1]}." if facts.layers else ""
    shapes = [
        f"{name} {facts.arrays[prefix + name].shape}"
        for name in ("query", "keys", "values", "scores", "weights", "context")
        if prefix + name in facts.arrays
    ]
    return f"; {', '.join(shapes)}" if shapes else ""


def _choice(title: str, facts: _Facts) -> ChapterText:
    entry = facts.document["steps"][facts.example]
    size = facts.config.get("decoder_vocab_size") or facts.config.get("vocab_size")
    every = f"each of the {size:,} tokens of the target" if size else "each token of the target vocabulary"
    plain = (
        f"From its state and what it read, the decoder gives {every} a score, called logit, and softmax turns all of "
        f"them into probabilities that sum to 1: at step {facts.example + 1}, {facts.candidate(facts.example, 0)}"
    )
    plain += f", then {facts.candidate(facts.example, 1)}. " if len(entry["candidates"]) > 1 else ". "
    beams = facts.run["num_beams"]
    if facts.run.get("forced"):
        plain += "Here the words were given beforehand, so that the probabilities say what the model thinks of them. "
    elif beams > 1:
        plain += (
            f"The {beams} best beginnings of a translation are kept side by side, and the best whole one is chosen. "
        )
    else:
        plain += "The most probable is chosen. "
    plain += "The end token is a token like the others: when it is chosen, the text is complete."
    hidden = facts.width("output.hidden")
    read = f"r_t ({hidden} numbers)" if hidden else "r_t"
    bias = " + b" if "output.bias" in facts.arrays else ""
    exact = f"p(y_t | y_<t, x) = softmax(z_t), z_t = W_out {read}{bias}"
    if facts.config.get("tie_word_embeddings"):
        exact += "; W_out is the target embedding table (Press and Wolf 2017)"
    exact += ". These are the model's own numbers, before any processor of generate()."
    changed = sum(bool(entry["processed"]) for entry in facts.document["steps"])
    if changed:
        exact += f" Processors changed scores at {_count(changed, 'step')}; what they changed is shown there."
    readout = {
        "tanh": "r_t = tanh(W_c [s_t; c_t] + b)",
        "maxout": "r_t = maxout(U_o s_t + C_o c_t + V_o E y_(t-1) + b)",
    }.get(facts.decoder.get("readout") or "", "r_t = decoder(y_0 ... y_(t-1), h_1 ... h_S)")
    return ChapterText(title, plain, exact, f"{readout}; p(y_t = w) = exp(W_w r_t) / sum_w' exp(W_w' r_t)")


def _loop(title: str, facts: _Facts) -> ChapterText:
    text = visible(facts.document["target"]["text"]) if facts.document["target"]["text"] else ""
    plain = (
        "The token just chosen is told to the decoder as the word before, and the last three chapters happen again. "
        f'After {_count(facts.steps, "step")} the text was "{text}". '
    )
    if facts.run["stopped"] == "end":
        plain += f"It stopped because it chose the end token {facts.chosen(facts.steps - 1)}."
    elif facts.run.get("forced"):
        plain += "It stopped where the given text ended."
    else:
        plain += (
            f"It did not choose to end: it was stopped at the most tokens allowed, {facts.run['max_new_tokens']:,}."
        )
    exact = "p(y | x) is the product of the steps' probabilities"
    total = sum(entry["choice"]["log_probability"] for entry in facts.document["steps"])
    exact += f"; here log p = {total:.4f}"
    if facts.run["num_beams"] > 1 and facts.run["score"] is not None:
        after = ", after processors," if any(entry["processed"] for entry in facts.document["steps"]) else ""
        exact += f". Beams are compared by log p{after} / T^{facts.run['length_penalty']:g} = {facts.run['score']:.4f}"
    return ChapterText(title, plain, f"{exact}.", "log p(y | x) = sum_t log p(y_t | y_1, ..., y_(t-1), x)")
