# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Compares models of Marian here and in the engines that they are made for: Firefox's (`fxtranslate`, in Rust), the
older one in WebAssembly (`@browsermt/bergamot-translator`, in Node), and Marian itself (`pymarian`).

    python benchmarks/peers/install.py fxtranslate pymarian bergamot
    python benchmarks/marian_engines.py --models 100 --sentences 200
    python benchmarks/marian_engines.py --trained outputs/firefox --texts test.en --sentences 200

Random models of all kinds are written in Marian's formats and converted; both sides then translate the same sentences
greedily. Scales of the weights vary, so that translations do too, which is told: on models that say one thing only, a
wrong conversion would pass. Where an engine gives them (pymarian), the log probabilities of tokens are compared too.
The converted models are also exported again, and the engines translate with what was written.

The engine in WebAssembly reads 8 bits alone, in matrices whose sizes 64 divides, of vocabularies whose sizes 8
divides; it ends a translation after two tokens for each of the source's, so that of a longer one its beginning is
compared.

`--trained` compares a model that this package trained (see docs/marian.md) instead of random ones, on the lines of the
file `--texts`.

In 8 bits, an engine also rounds what matrices are multiplied with. A computation of that in NumPy, which reads the
same file, shows that multipliers and layout are as the engine takes them; the converted model, whose weights alone are
rounded, is shown beside it.
"""

import argparse
import io
import itertools
import json
import math
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from transformers.utils import logging


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rounds import ENVIRONMENTS, interpreter
from hf_attn_seq2seq.convert.command import convert
from hf_attn_seq2seq.convert.marian_file import INTGEMM8, dequantized, read_stored
from hf_attn_seq2seq.export import marian as export


ROOT = Path(__file__).resolve().parents[1]
EOS, UNK = 0, 1
SCORED, COMPUTED = 40, 10  # sentences of a model that pymarian translates, and that NumPy does: both are slow


class Kind(NamedTuple):
    """What sort of model."""

    autoreg: str = "rnn"
    activation: str = "relu"
    pre: bool = False
    tying: str = "all"  # or "src", "trg" (tied-embeddings), "none"
    aan_depth: int = 2
    aan_gate: bool = True
    wide: bool = False  # with the sizes that fast products need
    cells: tuple[str, str] = ("gru", "gru")  # of recurrent models

    @property
    def for_firefox(self) -> bool:
        """Whether Firefox's engine takes it."""
        return self.autoreg == "rnn" and self.activation == "relu" and not self.pre and self.tying in ("all", "trg")


RECURRENT = [
    Kind("s2s"),
    Kind("s2s", tying="none"),
    Kind("s2s", tying="trg", cells=("lstm", "lstm")),
    Kind("s2s", tying="src"),
    Kind("s2s", cells=("gru", "lstm")),
]
KINDS = [
    Kind(),
    Kind(tying="trg"),
    Kind(tying="src"),
    Kind(tying="none"),
    Kind(pre=True),
    Kind(activation="swish"),
    Kind("self-attention"),
    Kind("self-attention", tying="trg"),
    Kind("self-attention", activation="swish", tying="none"),
    Kind("self-attention", activation="gelu", tying="src"),
    Kind("average-attention"),
    Kind("average-attention", aan_depth=3, activation="swish", tying="none"),
    Kind("average-attention", aan_depth=1, aan_gate=False),
]


def random_model(kind: Kind, seed: int, sizes: tuple[int, int]) -> tuple[dict[str, np.ndarray], bytes]:
    """
    A model's tensors and options, by Marian's own names.

    Args:
        sizes: Pieces of the source's and the target's vocabulary.
    """
    rng = np.random.default_rng(seed)
    heads, width = (4, 64) if kind.wide else [(2, 16), (4, 32), (1, 16)][seed % 3]
    inner, average = 128 if kind.wide else 24 + 8 * (seed % 2), 2 * width
    encoder, decoder = 1 + seed % 3, 1 + (seed + 1) % 2
    scale, spread = 1.0 + rng.random(), 1.0 + 2.0 * rng.random()
    found: dict[str, np.ndarray] = {}

    def matrix(name: str, rows: int, columns: int) -> None:
        found[name] = (scale * rng.standard_normal((rows, columns)) / math.sqrt(rows)).astype(np.float32)

    def vector(name: str, size: int, around: float = 0.0) -> None:
        found[name] = (around + 0.3 * rng.standard_normal((1, size))).astype(np.float32)

    def norm(name: str, pre: bool = kind.pre) -> None:
        vector(f"{name}_ln_scale{'_pre' * pre}", width, 1.0)
        # Half of the signs are turned: else a token's own row, which goes through all layers, would repeat the token.
        found[f"{name}_ln_scale{'_pre' * pre}"] *= rng.choice(np.array([-1.0, 1.0], np.float32), width)
        vector(f"{name}_ln_bias{'_pre' * pre}", width)

    def attention(name: str) -> None:
        for part in "qkvo":
            matrix(f"{name}_W{part}", width, width)
            vector(f"{name}_b{part}", width)
        norm(f"{name}_Wo")

    def feed_forward(name: str) -> None:
        matrix(f"{name}_W1", width, inner)
        vector(f"{name}_b1", inner)
        matrix(f"{name}_W2", inner, width)
        vector(f"{name}_b2", width)
        norm(f"{name}_ffn")

    def mixer(name: str) -> None:
        if kind.autoreg == "self-attention":
            attention(f"{name}_self")
        elif kind.autoreg == "rnn":
            matrix(f"{name}_rnn_W", width, width)
            matrix(f"{name}_rnn_Wf", width, width)
            vector(f"{name}_rnn_bf", width)
            norm(f"{name}_rnn" if kind.pre else f"{name}_rnn_ffn")
        else:
            widths = [width, *[average] * (kind.aan_depth - 1), width]
            for index, (rows, columns) in enumerate(itertools.pairwise(widths), start=1):
                if kind.aan_depth > 1:
                    matrix(f"{name}_aan_W{index}", rows, columns)
                    vector(f"{name}_aan_b{index}", columns)
            for gate in "if" if kind.aan_gate else "":
                matrix(f"{name}_aan_W{gate}", width, width)
                vector(f"{name}_aan_b{gate}", width)
            norm(f"{name}_aan_ffn")

    def table(name: str, size: int) -> None:
        found[name] = (spread * rng.standard_normal((size, width)) / math.sqrt(width)).astype(np.float32)

    if kind.tying in ("all", "src"):
        table("Wemb", sizes[0])
    else:
        table("encoder_Wemb", sizes[0])
        table("decoder_Wemb", sizes[1])
    if kind.tying in ("src", "none"):
        table("decoder_ff_logit_out_Wt", sizes[1])
    for index in range(1, encoder + 1):
        attention(f"encoder_l{index}_self")
        feed_forward(f"encoder_l{index}_ffn")
    for index in range(1, decoder + 1):
        mixer(f"decoder_l{index}")
        attention(f"decoder_l{index}_context")
        feed_forward(f"decoder_l{index}_ffn")
    if kind.pre:
        norm("encoder_top", pre=False)
        norm("decoder_top", pre=False)
    vector("decoder_ff_logit_out_b", sizes[1])
    found["decoder_ff_logit_out_b"][0, EOS] += 1.5 * spread
    lines = {
        "bert-train-type-embeddings": "true",
        "bert-type-vocab-size": 2,
        "dec-cell": "ssru",
        "dec-cell-base-depth": 2,
        "dec-cell-high-depth": 1,
        "dec-depth": decoder,
        "dim-emb": width,
        "dim-rnn": 1024,
        "dim-vocabs": f"[{sizes[0]}, {sizes[1]}]",
        "enc-cell": "gru",
        "enc-cell-depth": 1,
        "enc-depth": encoder,
        "enc-type": "bidirectional",
        "factors-combine": "sum",
        "factors-dim-emb": 0,
        "input-types": "[]",
        "layer-normalization": "false",
        "lemma-dim-emb": 0,
        "right-left": "false",
        "skip": "false",
        "tied-embeddings": str(kind.tying == "trg").lower(),
        "tied-embeddings-all": str(kind.tying == "all").lower(),
        "tied-embeddings-src": str(kind.tying == "src").lower(),
        "transformer-aan-activation": "swish",
        "transformer-aan-depth": kind.aan_depth,
        "transformer-aan-nogate": str(not kind.aan_gate).lower(),
        "transformer-decoder-autoreg": kind.autoreg,
        "transformer-decoder-dim-ffn": 0,
        "transformer-decoder-ffn-depth": 0,
        "transformer-depth-scaling": "true",
        "transformer-dim-aan": average,
        "transformer-dim-ffn": inner,
        "transformer-ffn-activation": kind.activation,
        "transformer-ffn-depth": 2,
        "transformer-guided-alignment-layer": "last",
        "transformer-heads": heads,
        "transformer-no-affine": "false",
        "transformer-no-bias": "false",
        "transformer-no-projection": "false",
        "transformer-pool": "false",
        "transformer-postprocess": "da" if kind.pre else "dan",
        "transformer-postprocess-emb": "d",
        "transformer-postprocess-top": "n" if kind.pre else '""',
        "transformer-preprocess": "n" if kind.pre else '""',
        "transformer-rnn-projection": "false",
        "transformer-tied-layers": "[]",
        "transformer-train-position-embeddings": "false",
        "transformer-train-type-embeddings": "true",
        "type": "transformer",
        "ulr": "false",
        "ulr-dim-emb": 0,
        "ulr-trainable-transformation": "false",
        "version": "v1.12.31",
    }
    text = "".join(f"{name}: {value}\n" for name, value in lines.items())
    return found, text.encode() + b"\0"


def random_recurrent(of: Kind, seed: int, sizes: tuple[int, int]) -> tuple[dict[str, np.ndarray], bytes]:
    """As [`random_model`], of type `s2s`."""
    rng = np.random.default_rng(seed)
    width, words, layers = 16 + 8 * (seed % 2), 12 + 4 * (seed % 3), 1 + seed % 2
    scale, spread = 1.0 + rng.random(), 2.0 + 2.0 * rng.random()
    found: dict[str, np.ndarray] = {}

    def matrix(name: str, rows: int, columns: int) -> None:
        found[name] = (scale * rng.standard_normal((rows, columns)) / math.sqrt(rows)).astype(np.float32)

    def vector(name: str, size: int) -> None:
        found[name] = (0.4 * rng.standard_normal((1, size))).astype(np.float32)

    def table(name: str, size: int) -> None:
        found[name] = (spread * rng.standard_normal((size, words)) / math.sqrt(words)).astype(np.float32)

    def cell(name: str, inputs: int) -> None:
        kind = of.cells[name.startswith("decoder")]
        for end, columns in [("", 4 * width)] if kind == "lstm" else [("", 2 * width), ("x", width)]:
            matrix(f"{name}_W{end}", inputs, columns)
            matrix(f"{name}_U{end}", width, columns)
            vector(f"{name}_b{end}", columns)

    if of.tying in ("all", "src"):
        table("Wemb", sizes[0])
    else:
        table("encoder_Wemb", sizes[0])
        table("decoder_Wemb", sizes[1])
    if of.tying in ("src", "none"):
        table("decoder_ff_logit_l2_Wt", sizes[1])
    cell("encoder_bi", words)
    cell("encoder_bi_r", words)
    cell("decoder_cell1", words)
    cell("decoder_cell2", 2 * width)
    for layer in range(2, layers + 1):
        cell(f"decoder_l{layer}_cell1", width)
    matrix("decoder_W_comb_att", width, 2 * width)
    matrix("decoder_Wc_att", 2 * width, 2 * width)
    vector("decoder_b_att", 2 * width)
    matrix("decoder_U_att", 2 * width, 1)
    matrix("decoder_ff_state_W", 2 * width, width)
    vector("decoder_ff_state_b", width)
    for part, rows in enumerate((words, width, 2 * width)):
        matrix(f"decoder_ff_logit_l1_W{part}", rows, words)
        vector(f"decoder_ff_logit_l1_b{part}", words)
    vector("decoder_ff_logit_l2_b", sizes[1])
    found["decoder_ff_logit_l2_b"][0, EOS] += spread
    options = {
        "dec-cell": of.cells[1],
        "dec-cell-base-depth": 2,
        "dec-cell-high-depth": 1,
        "dec-depth": layers,
        "dim-emb": words,
        "dim-rnn": width,
        "dim-vocabs": list(sizes),
        "enc-cell": of.cells[0],
        "enc-cell-depth": 1,
        "enc-depth": 1,
        "enc-type": "bidirectional",
        "factors-combine": "sum",
        "factors-dim-emb": 0,
        "input-types": [],
        "layer-normalization": False,
        "lemma-dim-emb": 0,
        "right-left": False,
        "skip": seed % 4 == 1,
        "tied-embeddings": of.tying == "trg",
        "tied-embeddings-all": of.tying == "all",
        "tied-embeddings-src": of.tying == "src",
        "type": "s2s",
        "ulr": False,
        "version": "v1.12.31",
    }
    return found, yaml.safe_dump(options).encode() + b"\0"


def vocabulary(lines: Sequence[str], size: int, rule: str = "nmt_nfkc") -> bytes:
    """A SentencePiece model with the ids of Marian's own."""
    from sentencepiece import SentencePieceTrainer

    proto = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=proto,
        vocab_size=size,
        model_type="unigram",
        normalization_rule_name=rule,
        hard_vocab_limit=False,
        bos_id=-1,
        eos_id=EOS,
        unk_id=UNK,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return proto.getvalue()


def word_list(lines: Sequence[str], size: int, as_yaml: bool) -> str:
    """Marian's vocabulary of the most frequent words, with ids or one a line."""
    counts = Counter(word for line in lines for word in line.split() if word not in ("</s>", "<unk>"))
    words = ["</s>", "<unk>", *(word for word, _ in counts.most_common(size - 2))]
    if as_yaml:
        return yaml.safe_dump({word: number for number, word in enumerate(words)}, allow_unicode=True, sort_keys=False)
    return "".join(f"{word}\n" for word in words)


def text_lines() -> list[str]:
    """Lines of this repository's pages."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [line.strip() for page in pages for line in page.read_text("utf-8").split("\n") if len(line.split()) > 3]


class Engine:
    """An engine in its own environment."""

    def __init__(self, name: str, environments: Path) -> None:
        peers = Path(__file__).with_name("peers")
        command = ["node", peers / "bergamot_worker.mjs", environments / name]
        if name != "bergamot":
            command = [interpreter(name, environments), peers / "marian_worker.py", name]
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, model: Path, vocabs: Sequence[Path], sentences: Sequence[str], **more: Any) -> dict[str, Any]:
        paths = [str(path) for path in (vocabs[0], vocabs[-1])]
        return self.ask({"model": str(model), "vocabs": paths, "sentences": list(sentences), **more})

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """The answer to an order."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "The engine ended without an answer."}
        if "error" in answer:
            sys.exit(f"error: {order.get('model')}: {answer['error']}")
        return answer


# --------------------------------------------------------------------------------------------------------------------
# This package
# --------------------------------------------------------------------------------------------------------------------


def most_tokens(source_length: int) -> int:
    """How many tokens Firefox's engine writes at most for a source, whose end counts."""
    return min(2 * source_length + 4, 256)


@torch.no_grad()
def ours(
    folder: Path, sentences: Sequence[str], limit: Any = most_tokens
) -> tuple[list[list[int]], list[list[float]]]:
    """The greedy translations of a converted model, without their ends, and the log probability of each token."""
    from hf_attn_seq2seq import AttnSeq2SeqForConditionalGeneration, AttnSeq2SeqTokenizer

    model = AttnSeq2SeqForConditionalGeneration.from_pretrained(folder)
    tokenizer = AttnSeq2SeqTokenizer.from_pretrained(folder)
    inputs = tokenizer(list(sentences), return_tensors="pt", padding=True)
    lengths = inputs["attention_mask"].sum(1).tolist()
    found = model.generate(
        **inputs,
        num_beams=1,
        do_sample=False,
        suppress_tokens=None,
        max_new_tokens=max(map(limit, lengths)),
        output_logits=True,
        return_dict_in_generate=True,
    )
    rates = torch.stack(found.logits, dim=1).log_softmax(-1)
    end, texts, scores = model.config.eos_token_id, [], []
    for row, length, rate in zip(found.sequences[:, 1:].tolist(), lengths, rates):
        kept = row[: limit(length)]
        stop = kept.index(end) if end in kept else len(kept)
        texts.append(kept[:stop])
        scores.append([float(rate[step, token]) for step, token in enumerate(kept[: stop + 1])])
    return texts, scores


def as_text(tokenizer_file: Path, ids: Sequence[int]) -> str:
    """The text of target ids as Firefox's engine joins pieces."""
    from hf_attn_seq2seq import AttnSeq2SeqTokenizer

    tokenizer = AttnSeq2SeqTokenizer.from_pretrained(tokenizer_file).target
    pieces = tokenizer.convert_ids_to_tokens(list(ids))
    return "".join(piece for piece in pieces if piece not in tokenizer.all_special_tokens).replace("▁", " ").lstrip()


# --------------------------------------------------------------------------------------------------------------------
# 8 bits in NumPy
# --------------------------------------------------------------------------------------------------------------------


class Int8Reference:
    """
    A student's greedy search in 8 bits, from what a file holds, as an engine computes it: with `saturates`, on AVX2,
    whose product of 8-bit numbers overflows where two neighbours are large.
    """

    def __init__(self, content: bytes, options: dict[str, int], saturates: bool) -> None:
        self.stored = read_stored(content, "model")
        self.options = options
        self.shared = "Wemb" in self.stored
        self.saturates = saturates

    def floats(self, name: str) -> np.ndarray:
        return np.frombuffer(self.stored[name].data, np.float32, math.prod(self.stored[name].shape))

    def product(self, inputs: np.ndarray, name: str, bias: str | None = None) -> np.ndarray:
        """`(rows, in)` to `(rows, out)`: both sides are rounded to 8 bits."""
        _, shape, data = self.stored[name]
        matrix = np.frombuffer(data, np.int8, math.prod(shape)).reshape(shape[::-1]).astype(np.int64)
        multiplier = float(np.frombuffer(bytes(data[math.prod(shape) :][:4]), np.float32)[0])
        return self.rounded(inputs, matrix, multiplier, self.alpha(name), bias)

    def alpha(self, name: str) -> float:
        stored = self.stored[f"{name}_QuantMultA"]
        if stored.type == INTGEMM8:
            return float(dequantized(name, stored.shape, stored.data)[0].reshape(-1)[0])
        return float(np.frombuffer(stored.data, np.float32, 1)[0])

    def rounded(
        self, inputs: np.ndarray, matrix: np.ndarray, multiplier: float, alpha: float, bias: str | None
    ) -> np.ndarray:
        whole = np.rint(inputs * np.float32(alpha)).clip(-127, 127).astype(np.int64)
        if self.saturates and matrix.shape[1] % 32 == 0:
            # The engine shifts by 127 to unsigned values, and a pair of products is one number of 16 bits.
            pairs = ((whole + 127)[:, None] * matrix).reshape(len(whole), len(matrix), -1, 2).sum(-1)
            product = pairs.clip(-(2**15), 2**15 - 1).sum(-1) - 127 * matrix.sum(1)
        else:
            product = whole @ matrix.T
        output = product.astype(np.float64) / (float(alpha) * float(multiplier))
        return output + (0.0 if bias is None else self.floats(bias))

    def table(self, side: str) -> tuple[np.ndarray, float]:
        _, shape, data = self.stored["Wemb" if self.shared else f"{side}_Wemb"]
        count = math.prod(shape)
        multiplier = float(np.frombuffer(bytes(data[count : count + 4]), np.float32)[0])
        return np.frombuffer(data, np.int8, count).reshape(shape), multiplier

    def embed(self, side: str, token: int | None, position: int) -> np.ndarray:
        width = self.options["width"]
        row = np.zeros(width)
        if token is not None:
            table, multiplier = self.table(side)
            row = math.sqrt(width) * table[token] / multiplier
        angles = position * 10000.0 ** -(np.arange(width // 2) / (width // 2 - 1))
        return row + np.concatenate([np.sin(angles), np.cos(angles)])

    def norm(self, inputs: np.ndarray, name: str) -> np.ndarray:
        centred = inputs - inputs.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return self.floats(f"{name}_ln_scale") * centred / scale + self.floats(f"{name}_ln_bias")

    def attention(self, name: str, asking: np.ndarray, asked: np.ndarray) -> np.ndarray:
        heads = self.options["heads"]

        def part(letter: str, inputs: np.ndarray) -> np.ndarray:
            output = self.product(inputs, f"{name}_W{letter}", f"{name}_b{letter}")
            return output.reshape(len(inputs), heads, -1).transpose(1, 0, 2)

        queries, keys, values = part("q", asking), part("k", asked), part("v", asked)
        scores = queries @ keys.transpose(0, 2, 1) / math.sqrt(queries.shape[-1])
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        joined = (shares / shares.sum(-1, keepdims=True) @ values).transpose(1, 0, 2).reshape(len(asking), -1)
        return self.norm(asking + self.product(joined, f"{name}_Wo", f"{name}_bo"), f"{name}_Wo")

    def feed_forward(self, name: str, inputs: np.ndarray) -> np.ndarray:
        inner = np.maximum(self.product(inputs, f"{name}_W1", f"{name}_b1"), 0.0)
        return self.norm(inputs + self.product(inner, f"{name}_W2", f"{name}_b2"), f"{name}_ffn")

    def translate(self, ids: Sequence[int]) -> list[int]:
        """The greedy translation of source ids, which end with `</s>`."""
        states = np.stack([self.embed("encoder", token, place) for place, token in enumerate(ids)])
        for layer in range(1, self.options["encoder"] + 1):
            states = self.attention(f"encoder_l{layer}_self", states, states)
            states = self.feed_forward(f"encoder_l{layer}_ffn", states)
        cells = [np.zeros(self.options["width"]) for _ in range(self.options["decoder"])]
        table, multiplier = self.table("decoder")
        alpha = self.alpha("none" if self.shared else "decoder_Wemb")
        token, found = None, []
        for step in range(most_tokens(len(ids))):
            state = self.embed("decoder", token, step)[None]
            for layer in range(1, self.options["decoder"] + 1):
                here = f"decoder_l{layer}"
                forget = 1.0 / (1.0 + np.exp(-self.product(state, f"{here}_rnn_Wf", f"{here}_rnn_bf")))
                cell = forget * cells[layer - 1] + (1.0 - forget) * self.product(state, f"{here}_rnn_W")
                cells[layer - 1] = cell
                state = self.norm(state + np.maximum(cell, 0.0), f"{here}_rnn_ffn")
                state = self.attention(f"{here}_context", state, states)
                state = self.feed_forward(f"{here}_ffn", state)
            logits = self.rounded(state, table.astype(np.int64), multiplier, alpha, "decoder_ff_logit_out_b")
            token = int(logits[0].argmax())
            if token == EOS:
                break
            found.append(token)
        return found


# --------------------------------------------------------------------------------------------------------------------
# The comparison
# --------------------------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """What a comparison of one kind came to."""

    what: str
    compared: int = 0
    equal: int = 0
    distinct: int = 0
    largest: float = 0.0  # difference of a log probability

    def and_(self, found: Sequence[Any], wanted: Sequence[Any], largest: float = 0.0) -> "Line":
        equal = sum(one == other for one, other in zip(found, wanted))
        distinct = len({json.dumps(each) for each in wanted})
        return Line(
            self.what,
            self.compared + len(wanted),
            self.equal + equal,
            self.distinct + distinct,
            max(self.largest, largest),
        )


def alike(found: Sequence[Sequence[float]], wanted: Sequence[Sequence[float]]) -> float:
    """The largest difference of log probabilities, of tokens before which all agree."""
    return max(
        (abs(one - other) for row, expected in zip(found, wanted) for one, other in zip(row, expected)), default=0.0
    )


def write_case(folder: Path, kind: Kind, seed: int, vocabs: Sequence[Path], sizes: tuple[int, int]) -> Path:
    """Write a random model as `.npz` and `.bin`, and convert the former to `converted`; returns the folder."""
    tensors, options = (random_recurrent if kind.autoreg == "s2s" else random_model)(kind, seed, sizes)
    folder.mkdir(parents=True)
    (folder / "model.npz").write_bytes(export.npz_bytes(tensors, options))
    (folder / "model.bin").write_bytes(export.bin_bytes(export.plain(tensors), options))
    convert(folder / ("model.npz" if seed % 2 else "model.bin"), folder / "converted", vocabs)
    return folder


# The small files of the tests: kind and seed of each, and those whose vocabulary lists words.
RECORDED = {
    "student.npz": (Kind(), 57),
    "student.bin": (Kind(), 39),
    "two-vocabularies.npz": (Kind(tying="trg"), 45),
    "swish.npz": (Kind(activation="swish", pre=True, tying="none"), 18),
    "transformer.npz": (Kind("self-attention", activation="gelu", tying="src"), 18),
    "average.npz": (Kind("average-attention", aan_depth=3, activation="swish"), 57),
}
RECORDED_WORDS = {
    "words.npz": (Kind("self-attention", activation="swish", tying="trg"), 27),
    "s2s.npz": (Kind("s2s", tying="trg"), 6),
}
RECORDED_8 = {"student.int8.bin": "student.npz", "two-vocabularies.int8.bin": "two-vocabularies.npz"}


def record(folder: Path, engines: dict[str, Engine], lines: Sequence[str]) -> None:
    """Write small models, and what the engines make of them."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabs = [folder / "source.spm", folder / "target.spm"]
    for file, size in zip(vocabs, (130, 110)):
        file.write_bytes(vocabulary(lines, size, "identity"))
    sentences = [" ".join(line.split()[:4]) for line in lines[::50]][:8]
    found: dict[str, Any] = {"sentences": sentences, "models": {}}
    lists = [folder / "source.yml", folder / "target.txt"]
    for file, size in zip(lists, (60, 50)):
        file.write_text(word_list([*lines, *sentences], size, file.suffix == ".yml"), encoding="utf-8")
    with tempfile.TemporaryDirectory() as place:
        for name, (kind, seed) in {**RECORDED, **RECORDED_WORDS}.items():
            both = lists if name in RECORDED_WORDS else vocabs
            files = both if kind.tying in ("trg", "none") else both[:1]
            sizes = (_count(files[0]), _count(files[-1]))
            case = write_case(Path(place) / name, kind, seed, files, sizes)
            (folder / name).write_bytes((case / f"model{Path(name).suffix}").read_bytes())
            about: dict[str, Any] = {"vocabs": [file.name for file in files]}
            about["pymarian"] = engines["pymarian"](case / "model.npz", files, sentences)
            if kind.for_firefox and len(files) == 1:
                about["fxtranslate"] = engines["fxtranslate"](case / "model.bin", files, sentences)["texts"]
            found["models"][name] = about
        for name, of in RECORDED_8.items():
            case, files = Path(place) / of, [folder / each for each in found["models"][of]["vocabs"]]
            export.export_marian(str(case / "converted"), case / "exported", sentences)
            content = (case / "exported" / export.INT8_BIN).read_bytes()
            (folder / name).write_bytes(content)
            texts = engines["fxtranslate"](folder / name, files, sentences)["texts"]
            found["models"][name] = {"vocabs": [file.name for file in files], "fxtranslate": texts, "of": of}
    models = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(about, ensure_ascii=False)}" for name, about in found["models"].items()
    )
    told = json.dumps(found["sentences"], ensure_ascii=False)
    text = f'{{"sentences": {told},\n"models": {{\n{models}}}}}\n'
    (folder / "recorded.json").write_text(text, encoding="utf-8")


def with_words(
    folder: Path, kind: Kind, seed: int, lines: Sequence[str], sentences: Sequence[str], engine: Engine, add: Any
) -> None:
    """Compare one model of words between blanks."""
    place = folder / "words"
    place.mkdir(parents=True)
    sizes = (120, 90 if kind.tying in ("trg", "none") else 120)
    suffix = ".yml" if seed % 4 else ".txt"
    files = [place / f"{side}{suffix}" for side in ("source", "target")]
    for file, size in zip(files, sizes):
        file.write_text(word_list(lines, size, suffix == ".yml"), encoding="utf-8")
    write_case(folder / "of-words", kind, seed, files, sizes)
    some = list(sentences)[:SCORED]
    answer = engine(folder / "of-words" / "model.npz", files, some)
    ids, scores = ours(folder / "of-words" / "converted", some, lambda length: 2 * length)
    add(
        f"pymarian, {'s2s, ' * (kind.autoreg == 's2s')}words between blanks ({suffix})",
        [as_words(folder / "of-words" / "converted", each) for each in ids],
        answer["texts"],
        alike(scores, answer["scores"]),
    )


def in_wasm(
    folder: Path,
    kind: Kind,
    seed: int,
    vocabs: Sequence[Path],
    sentences: Sequence[str],
    engines: dict[str, Engine],
    add: Any,
) -> None:
    """Compare one exported model in 8 bits in both engines of browsers."""
    files = vocabs if kind.tying == "trg" else vocabs[:1]
    write_case(folder, kind, seed, files, (_count(files[0]), _count(files[-1])))
    export.export_marian(str(folder / "converted"), folder / "exported", sentences)
    small, spms = folder / "exported" / export.INT8_BIN, spms_of(folder / "exported")
    found, wanted = (engines[name](small, spms, sentences)["texts"] for name in ("bergamot", "fxtranslate"))
    what = "two vocabularies" if len(spms) == 2 else "one vocabulary"
    add(f"bergamot, 8 bits, {what}: as fxtranslate", *cut_alike(found, wanted))
    computed = in_numpy(folder / "converted", small, sentences[:COMPUTED], saturates=True)
    add("bergamot, 8 bits: computed in NumPy, with overflow", *cut_alike(found[:COMPUTED], computed))


def in_numpy(converted: Path, small: Path, sentences: Sequence[str], saturates: bool) -> list[str]:
    """The translations of a file in 8 bits by NumPy; `converted` has the sizes and the tokenizer."""
    from hf_attn_seq2seq import AttnSeq2SeqConfig, AttnSeq2SeqTokenizer

    config = AttnSeq2SeqConfig.from_pretrained(converted)
    sizes = {
        "width": config.hidden_size,
        "heads": config.num_attention_heads,
        "encoder": config.encoder_layers,
        "decoder": config.decoder_layers,
    }
    reference = Int8Reference(small.read_bytes(), sizes, saturates)
    tokenizer = AttnSeq2SeqTokenizer.from_pretrained(converted)
    return [as_text(converted, reference.translate(tokenizer(each).input_ids)) for each in sentences]


def spms_of(folder: Path) -> list[Path]:
    """The vocabularies of an exported model."""
    both = [folder / "srcvocab.spm", folder / "trgvocab.spm"]
    return both if both[0].exists() else [folder / "vocab.spm"]


def cut_alike(found: Sequence[str], wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """Texts, each cut to the length of the other where it begins with that."""
    cut = [(one[: len(other)], other[: len(one)]) for one, other in zip(found, wanted)]
    pairs = [pair if pair[0] == pair[1] else both for pair, both in zip(cut, zip(found, wanted))]
    return [one for one, _ in pairs], [other for _, other in pairs]


def trained(folder: Path, name: str, sentences: Sequence[str], engines: dict[str, Engine], add: Any) -> None:
    """Compare a model of this package, exported, in all engines."""
    from hf_attn_seq2seq.decoding.loading import load_translator

    loaded = load_translator([name], device="cpu", dtype="float32")
    loaded.model.save_pretrained(folder / "model")
    loaded.tokenizer.save_pretrained(folder / "model")
    ids, _ = ours(folder / "model", sentences)
    texts = [as_text(folder / "model", each) for each in ids]
    export.export_marian(name, folder / "exported", sentences)
    spms = spms_of(folder / "exported")
    plain, small = folder / "exported" / export.BIN, folder / "exported" / export.INT8_BIN
    answer = engines["pymarian"](folder / "exported" / export.NPZ, spms, sentences)
    limited, scores = ours(folder / "model", sentences, lambda length: 2 * length)
    decoded = [loaded.tokenizer.target.decode(each, skip_special_tokens=True).strip() for each in limited]
    marians = [text.replace(" ⁇ ", "").strip() for text in answer["texts"]]
    add("pymarian, single precision", decoded, marians, alike(scores, answer["scores"]))
    if len(spms) == 1:
        add("fxtranslate, single precision", texts, engines["fxtranslate"](plain, spms, sentences)["texts"])
    eight = engines["fxtranslate"](small, spms, sentences)
    computed = in_numpy(folder / "model", small, sentences, eight["backend"] in ("avx2", "ssse3"))
    add("fxtranslate, 8 bits: the same file computed in NumPy", computed, eight["texts"])
    convert(small, folder / "from8", spms)
    again, _ = ours(folder / "from8", sentences)
    read = [as_text(folder / "from8", each) for each in again]
    add("fxtranslate, 8 bits: the same file converted, weights alone rounded", read, eight["texts"])
    add("fxtranslate, 8 bits: the model before it was rounded", texts, eight["texts"])
    if "bergamot" in engines:
        found = engines["bergamot"](small, spms, sentences)["texts"]
        add("bergamot, 8 bits: as fxtranslate", *cut_alike(found, eight["texts"]))


# What Marian trains here, as its options.
TRAINED: dict[str, dict[str, Any]] = {
    "s2s": {"type": "s2s", "dim_emb": 32, "dim_rnn": 48},
    "transformer, SSRU": {
        "type": "transformer",
        "dim_emb": 32,
        "enc_depth": 2,
        "dec_depth": 1,
        "transformer_heads": 4,
        "transformer_dim_ffn": 64,
        "transformer_ffn_activation": "relu",
        "transformer_decoder_autoreg": "rnn",
        "dec_cell": "ssru",
    },
}


def by_marian(folder: Path, engine: Engine, add: Any) -> None:
    """Let Marian train models that turn the words of a text round, and compare them as their folders are."""
    words = [f"w{number}" for number in range(20)]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, rng.integers(2, 7))) for _ in range(2000)]
    sentences = [" ".join(rng.choice([*words, "unknown"], rng.integers(1, 9))) for _ in range(100)]
    for name, options in TRAINED.items():
        place = folder / options["type"]
        place.mkdir(parents=True)
        turned = [" ".join(text.split()[::-1]) for text in texts]
        for file, lines in (("source", texts), ("target", turned)):
            (place / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
        (place / "vocab.yml").write_text(word_list(texts, len(words) + 2, True), encoding="utf-8")
        train = {
            "model": str(place / "model.npz"),
            "train_sets": [str(place / "source"), str(place / "target")],
            "vocabs": [str(place / "vocab.yml")] * 2,
            "tied_embeddings_all": True,
            "learn_rate": 0.005,
            "mini_batch": 32,
            "after_batches": 400,
        }
        engine.ask({"train": {**train, **options}})
        convert(place, folder / f"{options['type']}-converted")
        answer = engine(place / "model.npz", [place / "vocab.yml"], sentences)
        ids, scores = ours(folder / f"{options['type']}-converted", sentences, lambda length: 2 * length)
        found = [as_words(folder / f"{options['type']}-converted", each) for each in ids]
        add(f"pymarian, {name}, trained by it", found, answer["texts"], alike(scores, answer["scores"]))


def as_words(folder: Path, ids: Sequence[int]) -> str:
    """Target words with blanks between them."""
    from hf_attn_seq2seq import AttnSeq2SeqTokenizer

    return " ".join(AttnSeq2SeqTokenizer.from_pretrained(folder).target.convert_ids_to_tokens(list(ids)))


def cases(models: int) -> Iterator[tuple[int, Kind]]:
    """Half of the models are such as Firefox's engine takes, in turn; the others are of every kind."""
    for seed in range(models):
        yield seed, KINDS[seed // 2 % len(KINDS)] if seed % 2 else KINDS[seed // 2 % 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="(default: %(default)s)")
    parser.add_argument("--trained", metavar="MODEL", help="compare this model instead of random ones")
    parser.add_argument("--texts", type=Path, metavar="FILE", help="what it translates, a sentence a line")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="write the small files of the tests instead")
    parser.add_argument("--quick", action="store_true", help="4 models and 10 sentences, to try it")
    options = parser.parse_args()
    if bool(options.trained) != bool(options.texts):
        parser.error("--trained and --texts belong together")
    if options.quick:
        options.models, options.sentences = 4, 10
    logging.disable_progress_bar()
    names = ["fxtranslate", "pymarian"]
    if (options.environments / "bergamot").is_dir():
        names.append("bergamot")
    else:
        print("The engine in WebAssembly is left out: python benchmarks/peers/install.py bergamot")
    engines = {name: Engine(name, options.environments) for name in names}
    lines = text_lines()
    if options.record:
        record(options.record, engines, lines)
        return
    sentences = [" ".join(line.split()[: 3 + place % 8]) for place, line in enumerate(lines)][: options.sentences]
    results: dict[str, Line] = {}

    def add(what: str, found: Sequence[Any], wanted: Sequence[Any], largest: float = 0.0) -> None:
        results[what] = results.get(what, Line(what)).and_(found, wanted, largest)

    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        if options.trained:
            texts = options.texts.read_text("utf-8").split("\n")[: options.sentences]
            trained(root, options.trained, texts, engines, add)
            options.models = 0
        vocabs = [root / "source.spm", root / "target.spm"]
        for file, size in zip(vocabs, (400, 304)):
            file.write_bytes(vocabulary(lines, size))
        if options.models:
            by_marian(root / "trained", engines["pymarian"], add)
        for seed, kind in cases(options.models):
            one(root / str(seed), kind, seed, vocabs, sentences, engines, add)
            if seed % 10 == 4 and "bergamot" in engines:
                wide = Kind(tying="trg" if seed % 20 == 4 else "all", wide=True)
                in_wasm(root / f"{seed}-wide", wide, seed, vocabs, sentences, engines, add)
            if seed % 3 == 0:
                recurrent, place = RECURRENT[seed % len(RECURRENT)], root / f"{seed}-s2s"
                with_words(place, recurrent, seed, lines, sentences, engines["pymarian"], add)
            if seed % 2:
                with_words(root / str(seed), kind, seed // 2, lines, sentences, engines["pymarian"], add)
            print(f"{seed + 1} of {options.models} models", end="\r", flush=True)
    print(f"{'':<68}  equal / compared  distinct  largest difference of log p")
    for line in results.values():
        told = f"{line.largest:.1e}" if line.largest else ""
        print(f"{line.what:<68}  {line.equal:>6} / {line.compared:<6}  {line.distinct:>8}  {told}")


def one(
    folder: Path,
    kind: Kind,
    seed: int,
    vocabs: Sequence[Path],
    sentences: Sequence[str],
    engines: dict[str, Engine],
    add: Any,
) -> None:
    """Compare one model in all ways."""
    from hf_attn_seq2seq import AttnSeq2SeqTokenizer

    files = vocabs if kind.tying in ("trg", "none") else vocabs[:1]
    write_case(folder, kind, seed, files, (_count(files[0]), _count(files[-1])))
    converted = folder / "converted"
    ids, _ = ours(converted, sentences)
    texts = [as_text(converted, each) for each in ids]
    exported = folder / "exported"
    sample = folder / "sample.txt"
    sample.write_text("\n".join(sentences), encoding="utf-8")
    export.export_marian(str(converted), exported, sentences)
    spms = spms_of(exported)
    if kind.for_firefox and len(files) == 1:  # it cannot read two vocabularies in single precision
        found = engines["fxtranslate"](folder / "model.bin", files, sentences)["texts"]
        add("fxtranslate, single precision: converted", texts, found)
        found = engines["fxtranslate"](exported / "model.bin", spms, sentences)["texts"]
        add("fxtranslate, single precision: exported again", texts, found)
    if kind.for_firefox:
        small = exported / export.INT8_BIN
        answer = engines["fxtranslate"](small, spms, sentences)
        found = answer["texts"]
        some = list(sentences)[:COMPUTED]
        computed = in_numpy(converted, small, some, answer["backend"] in ("avx2", "ssse3"))
        add("fxtranslate, 8 bits: the same file computed in NumPy", computed, found[: len(some)])
        convert(small, folder / "from8", spms)
        again, _ = ours(folder / "from8", sentences)
        add(
            "fxtranslate, 8 bits: converted, weights alone rounded",
            [as_text(converted, each) for each in again],
            found,
        )
    limited = list(sentences)[:SCORED]
    answer = engines["pymarian"](folder / "model.npz", files, limited)
    ids, scores = ours(converted, limited, lambda length: 2 * length)
    tokenizer = AttnSeq2SeqTokenizer.from_pretrained(converted).target
    decoded = [tokenizer.decode(each, skip_special_tokens=True) for each in ids]
    name = f"pymarian, {kind.autoreg}{', pre-norm' if kind.pre else ''}, {kind.activation}, tied: {kind.tying}"
    found_texts = [text.replace(" ⁇ ", "") for text in answer["texts"]]
    add(
        name,
        [text.strip() for text in decoded],
        [text.strip() for text in found_texts],
        alike(scores, answer["scores"]),
    )


def _count(file: Path) -> int:
    from hf_attn_seq2seq.convert.marian_vocabularies import Words, read_side

    side = read_side(file)
    return side.size if isinstance(side, Words) else len(side.pieces)


if __name__ == "__main__":
    main()
