# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""What the explanation knows of each kind of attention: one entry in [`KINDS`] for each of the model's `ATTENTIONS`.
[`BRIDGES_BY_ROWS`] and [`READOUTS_BY_ROWS`] tell how the decoder's initial state, and what its output layer reads, are
made.

An entry names the recorded numbers that a score is made of, the formula that makes it, and the words around them.
Traces, ledgers, `verify`, chapters and the page read it; the page by the trace, which carries it ([`told_kinds`]).
Without an entry, a kind is traced and its weights are shown, but nothing of it is recomputed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from hf_attn_seq2seq.attention import split_heads
from hf_attn_seq2seq.explain.cells import CELLS
from hf_attn_seq2seq.explain.mixers import MIXERS
from hf_attn_seq2seq.messages import quoted


class Column(NamedTuple):
    """
    Numbers that a score is made of.

    Attributes:
        symbol: In the formula, without its subscript.
        array: Their name: what the attention records, or its parameter of that name.
        axes: What they are indexed by, of T steps, H heads and S source tokens, in this order. One more dimension runs
            over the components, unless it is the same number for all.
        role: As which they are coloured: query, key, value or score; ink for anything else.
        says: What they are, in a few words.
    """

    symbol: str
    array: str
    axes: str
    role: str
    says: str


# What is recorded of every kind, where it has it.
AXES = {
    "asker": "T",
    "context": "T",
    **dict.fromkeys(("query", "head_context", "centre"), "TH"),
    **dict.fromkeys(("keys", "values"), "HS"),
    **dict.fromkeys(("scores", "scaled", "weights", "allowed", "gaussian", "state"), "THS"),
}


def _projected(attention: Any, states: torch.Tensor) -> torch.Tensor:
    if hasattr(attention, "query_projection"):
        states = attention.query_projection(states)
    return split_heads(states[None], attention.num_heads)[0].transpose(0, 1)


@dataclass(frozen=True, kw_only=True)
class AttentionKind:
    """
    One kind of attention. Formulas are written with the symbols of `explain/chapters.py`; words in braces are filled
    in there.

    Attributes:
        paper: Where it is from.
        terms: One term of a score, whose sum over the components i is the score; "" for a kind without scores.
        columns: The symbols of `terms`, in the order in which they are shown.
        offset: What is added to the sum.
        where: What the symbols of `terms` stand for: `{asker}` is the state that asks, `{bias}` and `{norm}` what the
            settings `attention_bias` and `attention_weight_norm` add.
        divides: Whether scores are divided by sqrt(d_k) before they become weights.
        windowed: Whether only positions within `attention_window` are looked at.
        selects: Whether weights are made by stopping from left to right (Raffel et al. 2017) and not by the
            normalizer.
        projects: Whether the joined heads are projected to the context.
        matrices: Of which queries and keys are made, as `where` names them; "" where they are the states themselves.
        weights: How weights are made of scores; `{normalized}` is the normalizer's formula.
        contexts: What the weights make of the source, with one head and with several; `{summary}` is the encoder's
            summary.
        memory: What keys and values are, with `{width}` for their size.
        asks: What `{asks}`, the state that asks, does with the `{key}`s of the `{source}`, in plain words; `{units}`
            are its tokens or the like.
        plain: What else is particular, in plain words; `{one}` is a token or the like.
        exact: The same for an expert.
        note: What else happens between scores and weights, in plain words; with `selects`, everything.
        made: Numbers of columns that are neither recorded nor a parameter, by name, from the module and the length of
            the source.
        query: The queries `(T, heads, dim)` of states `(T, hidden)`, from the module.
    """

    paper: str = ""
    terms: str = ""
    columns: tuple[Column, ...] = ()
    offset: Column | None = None
    where: str = ""
    divides: bool = False
    windowed: bool = False
    selects: bool = False
    projects: bool = False
    matrices: tuple[str, str] = ("", "")
    weights: str = "{normalized}"
    contexts: tuple[str, str] = (
        "c_t = sum_j a_tj h_j",
        "c_t = [c_t^1; ...; c_t^H], c_t^n = sum_j a_tj^n h_j^n, h_j^n the n-th part of h_j",
    )
    memory: str = "The states h_j are handed over{width}"
    asks: str = (
        "{asks} asks a question, the query, which is compared with a key of every {key}: the better they match, the "
        "higher the score."
    )
    plain: str = ""
    exact: str = ""
    note: str = ""
    made: Callable[[Any, int], Mapping[str, torch.Tensor]] = lambda attention, src_len: {}
    query: Callable[[Any, torch.Tensor], torch.Tensor] = _projected

    @property
    def value(self) -> str:
        """The letter of the values: h for the encoder's states themselves, which leaves v to the scoring vector."""
        return "h" if self.terms and not self.projects else "v"

    @property
    def inputs(self) -> tuple[Column, ...]:
        """Everything that a score is made of."""
        return self.columns if self.offset is None else (*self.columns, self.offset)

    @property
    def has_keys(self) -> bool:
        """False for scores that do not depend on the source's states."""
        return not self.terms or any(column.array == "keys" for column in self.columns)

    @property
    def only_normalizes(self) -> bool:
        """Whether weights are the normalizer's of all scores, and nothing else."""
        return bool(self.terms) and self.weights == "{normalized}"

    @property
    def needed(self) -> tuple[str, ...]:
        """The arrays without which weights cannot be recomputed."""
        return ("scaled", *(column.array for column in self.inputs), *(("state",) if self.selects else ()))

    def told(self) -> dict[str, Any]:
        """What a trace carries, for readers without this package."""
        return {
            "terms": self.terms,
            "columns": [column._asdict() for column in self.columns],
            "offset": None if self.offset is None else self.offset._asdict(),
            "selects": self.selects,
            "projects": self.projects,
            "matrices": {"query": self.matrices[0], "key": self.matrices[1]},
            "note": self.note,
        }


QUERY = Column("q", "query", "TH", "query", "query: what the decoder is looking for")
KEY = Column("k", "keys", "HS", "key", "key: what the token offers to match")
VECTOR = Column("v", "vector", "H", "score", "weights of the scoring network")
NETWORK = "Keys are U_a h_j, projected once, and values are the states h_j{width}"
GENERAL = "Keys are W_a h_j, projected once, and values are the states h_j{width}"
WINDOW = "{normalized}, over |j - min(t, S)| <= D alone"
GAUSSIAN = (
    "{normalized}, over |j - 1 - p_t| <= D alone; then a_tj exp(-(j - 1 - p_t)^2 / (2 (D/2)^2)), divided by its sum"
)


def _position_rows(attention: Any, src_len: int) -> Mapping[str, torch.Tensor]:
    """The rows of W_a for the positions of the source, head by head."""
    rows = attention.position_scores.weight.detach().float().unflatten(0, (attention.num_heads, -1))
    return {"position_rows": rows[:, torch.arange(src_len).clamp(max=rows.shape[1] - 1)]}


KINDS: dict[str, AttentionKind] = {
    "additive": AttentionKind(
        paper="Bahdanau et al. 2015, A.1.2",
        terms="v_i tanh(q_i + k_i)",
        columns=(VECTOR, QUERY, KEY),
        where="q = W_a {asker}, k = U_a h_j{bias}{norm}",
        matrices=("W_a", "U_a"),
        memory=NETWORK,
    ),
    "dot": AttentionKind(
        paper='Luong et al. 2015, section 3.1, "dot"',
        terms="q_i k_i",
        columns=(QUERY, KEY),
        where="q = {asker}, k = h_j",
        memory="Keys and values are the states h_j{width}",
    ),
    "general": AttentionKind(
        paper='Luong et al. 2015, section 3.1, "general"',
        terms="q_i k_i",
        columns=(QUERY, KEY),
        where="q = {asker}, k = W_a h_j",
        matrices=("", "W_a"),
        memory=GENERAL,
    ),
    "concat": AttentionKind(
        paper='Luong et al. 2015, section 3.1, "concat"',
        terms="v_i tanh(q_i + k_i)",
        columns=(VECTOR, QUERY, KEY),
        where="q = W_a {asker}, k = U_a h_j{bias}{norm}",
        matrices=("W_a", "U_a"),
        memory=NETWORK,
    ),
    "scaled_dot": AttentionKind(
        paper="Vaswani et al. 2017, eq. 1, without projections",
        terms="q_i k_i",
        columns=(QUERY, KEY),
        where="q = {asker}, k = h_j",
        divides=True,
        memory="Keys and values are the states h_j{width}",
    ),
    "multi_head": AttentionKind(
        paper="Vaswani et al. 2017, section 3.2.2",
        terms="q_i k_i",
        columns=(QUERY, KEY),
        where="q = W^Q {asker}, k = W^K h_j",
        matrices=("W^Q", "W^K"),
        divides=True,
        projects=True,
        contexts=(
            "c_t = W^O sum_j a_tj v_j, v_j = W^V h_j",
            "c_t = W^O [c_t^1; ...; c_t^H], c_t^n = sum_j a_tj^n v_j^n, v_j^n = W_n^V h_j",
        ),
        memory="Keys are W^K h_j and values W^V h_j, for each head",
        exact="All four projections also add a bias.",
    ),
    "local_m": AttentionKind(
        paper="Luong et al. 2015, section 3.2, local-m",
        terms="q_i k_i",
        columns=(QUERY, KEY),
        where="q = {asker}, k = W_a h_j",
        matrices=("", "W_a"),
        windowed=True,
        weights=WINDOW,
        memory=GENERAL,
        plain="Only {units} near the same position as the step can be looked at.",
    ),
    "local_p": AttentionKind(
        paper="Luong et al. 2015, eq. 9 and 10, local-p",
        terms="q_i k_i",
        columns=(QUERY, KEY),
        where="q = {asker}, k = W_a h_j",
        matrices=("", "W_a"),
        windowed=True,
        weights=GAUSSIAN,
        memory=GENERAL,
        plain="It first predicts a position, and only {units} near that position can be looked at.",
        exact="p_t = S sigmoid(v_p . tanh(W_p s)); unlike in the paper, the product is divided by its sum.",
        note="Then each is multiplied by a Gaussian around the predicted position and divided by the sum again.",
    ),
    "location": AttentionKind(
        paper="Luong et al. 2015, eq. 8",
        terms="w_i s_i",
        columns=(
            Column("w", "position_rows", "HS", "key", "row of the matrix for this position"),
            Column("s", "asker", "T", "query", "state used as query"),
        ),
        where="w = row j of W_a, s = {asker}",
        memory="Values are the states h_j{width}; there are no keys, since the scores depend on the query alone",
        asks=(
            "{asks} alone decides which positions of the {source} to look at: a score for the first position, the "
            "second, and so on, whatever the {units} are."
        ),
        made=_position_rows,
    ),
    "location_aware": AttentionKind(
        paper="Chorowski et al. 2015, eq. 8 and 9",
        terms="v_i tanh(q_i + k_i + f_i)",
        columns=(VECTOR, QUERY, KEY, Column("f", "feature", "THS", "ink", "where the previous step looked")),
        where="q = W_a {asker}, k = U_a h_j + b, f = U (F * a_(t-1))_j",
        matrices=("W_a", "U_a"),
        memory=NETWORK,
        plain="The score also depends on where the previous step looked.",
    ),
    "coverage": AttentionKind(
        paper="See et al. 2017, eq. 10 and 11",
        terms="v_i tanh(q_i + k_i + w_i g_tj)",
        columns=(
            VECTOR,
            QUERY,
            KEY,
            Column("w", "coverage_vector", "H", "ink", "what coverage counts for"),
            Column("g", "state", "THS", "ink", "coverage: how much attention the token has received before"),
        ),
        where="q = W_a {asker}, k = U_a h_j + b, g_tj = sum_(t' < t) a_t'j",
        matrices=("W_a", "U_a"),
        memory=NETWORK,
        plain="The score also depends on how much attention each {one} has already received.",
    ),
    "monotonic": AttentionKind(
        paper="Raffel et al. 2017, eq. 11 to 16",
        terms="v_i tanh(q_i + k_i)",
        columns=(VECTOR, QUERY, KEY),
        offset=Column("r", "offset", "H", "ink", "offset: how readily it stops"),
        where="q = W_a {asker}, k = U_a h_j + b, v = g v' / |v'|",
        matrices=("W_a", "U_a"),
        selects=True,
        weights="a_tj = p_tj q_tj, p_tj = sigmoid(e_tj), q_tj = (1 - p_t(j-1)) q_t(j-1) + a_(t-1)j",
        memory=NETWORK,
        plain="It moves right from where the previous step looked; each score says how likely it stops there.",
        exact="Weight that no position selects stays on the last position, so that each row sums to 1.",
        note=(
            "Attention moves right from where the previous step looked; p is the probability of stopping at a token. "
            "Weight that stops nowhere stays on the last token."
        ),
    ),
    "none": AttentionKind(
        paper="Cho et al. 2014, section 2.2",
        weights="no weights",
        contexts=("c = {summary}", "c = {summary}"),
        memory="The context is one vector c for all steps{width}",
    ),
}


UNTOLD = AttentionKind()  # a kind without an entry


class MadeByRows(NamedTuple):
    """
    Numbers that a matrix makes.

    Attributes:
        matrix: As formulas name it.
        row: How one of them is computed from w, what its row makes, with its bias: the larger of two, where it has
            two rows.
        reads: The arrays that the rows are multiplied with, side by side.
    """

    matrix: str
    row: str
    reads: tuple[str, ...]


SUMMARY, STATE, CONTEXT = "handover.summary", "decoder.state", "attention.0.context"
# By the bridge and the readout, where they have a matrix.
BRIDGES_BY_ROWS = {
    **dict.fromkeys(("last", "last_both", "mean", "final"), MadeByRows("W", "w", (SUMMARY,))),
    **dict.fromkeys(("dense", "mean_dense"), MadeByRows("W_b", "tanh(w)", (SUMMARY,))),
    "final_dense": MadeByRows("W", "relu(w)", (SUMMARY,)),
}
READOUTS_BY_ROWS = {
    "tanh": MadeByRows("W_c", "tanh(w)", (STATE, CONTEXT)),
    "affine": MadeByRows("W_c", "w", (STATE, CONTEXT)),
    "deep": MadeByRows("W_c", "tanh(w)", (STATE, CONTEXT, "decoder.embeddings")),
    "maxout": MadeByRows("[U_o; C_o; V_o]", "w", (STATE, CONTEXT, "decoder.embeddings")),
}


def told_kinds(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a trace says of its kinds of parts, from the names in its document; nothing of a kind without an entry."""
    attention = KINDS.get(document["attention"]["type"])
    told = {"attention": attention.told()} if attention is not None and attention.terms else {}
    for side in ("encoder", "decoder"):
        if document[side]["type"] in CELLS:
            told[side] = CELLS[document[side]["type"]].told()
    mixer = document["decoder"].get("mixer")
    if mixer in MIXERS:
        told["mixer"] = MIXERS[mixer].told()
    for part, kind, entries in (
        ("bridge", document["handover"].get("bridge"), BRIDGES_BY_ROWS),
        ("readout", document["decoder"].get("readout"), READOUTS_BY_ROWS),
    ):
        if kind in entries:
            told[part] = {**entries[kind]._asdict(), "reads": list(entries[kind].reads)}
    return told


def refuse_untold(config: Any) -> None:
    """Raise a ValueError if the cells or the mixer of a model have no entry, without which they cannot be traced."""
    cells, mixers = {"transformer", *CELLS}, {"attention", *MIXERS}
    for kind, known, place in (
        (config.encoder_type, cells, "CELLS in explain/cells.py"),
        (config.decoder_type, cells, "CELLS in explain/cells.py"),
        (config.decoder_mixer, mixers, "MIXERS in explain/mixers.py"),
    ):
        if kind not in known:
            raise ValueError(f"The explanation does not know {quoted(kind)}: add an entry to {place}.")


__all__ = [
    "AXES",
    "BRIDGES_BY_ROWS",
    "KEY",
    "KINDS",
    "QUERY",
    "READOUTS_BY_ROWS",
    "UNTOLD",
    "VECTOR",
    "AttentionKind",
    "Column",
    "MadeByRows",
    "refuse_untold",
    "told_kinds",
]
