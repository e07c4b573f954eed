# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Models of the tutorials against their classes, written anew from what the tutorials say: equal logits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hf_attn_seq2seq import load
from hf_attn_seq2seq.convert.command import convert, main
from hf_attn_seq2seq.convert.vocabularies import END, START
from tests.helpers import scrambled


SOURCE = ["SOS", "EOS", *(f"s{number}" for number in range(9))]
TARGET = ["SOS", "EOS", *(f"t{number}" for number in range(11))]
TREVETT_SOURCE = ["<unk>", "<pad>", "<sos>", "<eos>", *SOURCE[2:]]
TREVETT_TARGET = ["<unk>", "<pad>", "<sos>", "<eos>", *TARGET[2:]]


class Encoder(nn.Module):
    """PyTorch's `EncoderRNN`, and with other parts those of Trevett."""

    def __init__(self, rows: int, width: int, hidden: int, name: str, make: Any, layers: int = 1, both: bool = False):
        super().__init__()
        self.embedding = nn.Embedding(rows, width)
        self.name = name
        setattr(self, name, make(width, hidden, layers, bidirectional=both, batch_first=True))
        if both:
            self.fc = nn.Linear(2 * hidden, hidden)

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, Any]:
        states, final = getattr(self, self.name)(self.embedding(ids))
        if hasattr(self, "fc"):
            final = torch.tanh(self.fc(torch.cat([final[-2], final[-1]], dim=1)))[None]
        return states, final


class BahdanauAttention(nn.Module):
    def __init__(self, hidden: int):
        super().__init__()
        self.Wa, self.Ua, self.Va = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1)

    def forward(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.Va(torch.tanh(self.Wa(query) + self.Ua(keys))), dim=1).transpose(1, 2) @ keys


class TrevettAttention(nn.Module):
    def __init__(self, encoder_hidden: int, hidden: int):
        super().__init__()
        self.attn = nn.Linear(2 * encoder_hidden + hidden, hidden)
        self.v = nn.Linear(hidden, 1, bias=False)

    def forward(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([query.expand(-1, keys.shape[1], -1), keys], dim=2)
        return torch.softmax(self.v(torch.tanh(self.attn(joined))), dim=1).transpose(1, 2) @ keys


class PyTorchDecoder(nn.Module):
    """`DecoderRNN` and `AttnDecoderRNN`."""

    def __init__(self, rows: int, hidden: int, attends: bool):
        super().__init__()
        self.embedding = nn.Embedding(rows, hidden)
        if attends:
            self.attention = BahdanauAttention(hidden)
        self.gru = nn.GRU(hidden * (2 if attends else 1), hidden, batch_first=True)
        self.out = nn.Linear(hidden, rows)

    def forward(self, ids: torch.Tensor, keys: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        embedded = self.embedding(ids)
        if hasattr(self, "attention"):
            embedded = torch.cat([embedded, self.attention(state.transpose(0, 1), keys)], dim=2)
        else:
            embedded = torch.relu(embedded)
        output, state = self.gru(embedded, state)
        return self.out(output), state


class TrevettDecoder(nn.Module):
    """Parts 1 (an LSTM of several layers), 2 (the context in the cell and the output layer) and 3 (attention)."""

    def __init__(self, rows: int, width: int, hidden: int, part: int):
        super().__init__()
        self.part = part
        self.embedding = nn.Embedding(rows, width)
        if part == 1:
            self.rnn, read = nn.LSTM(width, hidden, 2, batch_first=True), hidden
        elif part == 2:
            self.rnn, read = nn.GRU(width + hidden, hidden, batch_first=True), width + 2 * hidden
        else:
            self.attention = TrevettAttention(hidden, hidden)
            self.rnn, read = nn.GRU(2 * hidden + width, hidden, batch_first=True), 3 * hidden + width
        self.fc_out = nn.Linear(read, rows)
        self.context: Any = None

    def forward(self, ids: torch.Tensor, keys: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        embedded = self.embedding(ids)
        if self.part == 1:
            output, state = self.rnn(embedded, state)
            return self.fc_out(output), state
        context = keys[:, -1:] if self.part == 2 else self.attention(state.transpose(0, 1), keys)
        output, state = self.rnn(torch.cat([embedded, context], dim=2), state)
        parts = [embedded, output, context] if self.part == 2 else [output, context, embedded]
        return self.fc_out(torch.cat(parts, dim=2)), state


class Both(nn.Module):
    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        keys, state = self.encoder(source)
        logits = []
        for step in target.split(1, dim=1):
            out, state = self.decoder(step, keys, state)
            logits.append(out)
        return torch.cat(logits, dim=1)


def trevett(part: int) -> Both:
    rows = len(TREVETT_SOURCE), len(TREVETT_TARGET)
    make, layers, both = (nn.LSTM, 2, False) if part == 1 else (nn.GRU, 1, part == 3)
    return Both(Encoder(rows[0], 6, 8, "rnn", make, layers, both), TrevettDecoder(rows[1], 6, 8, part))


MODELS: dict[str, Callable[[], Both]] = {
    "plain": lambda: Both(Encoder(len(SOURCE), 8, 8, "gru", nn.GRU), PyTorchDecoder(len(TARGET), 8, False)),
    "attention": lambda: Both(Encoder(len(SOURCE), 8, 8, "gru", nn.GRU), PyTorchDecoder(len(TARGET), 8, True)),
    "part 1": lambda: trevett(1),
    "part 2": lambda: trevett(2),
    "part 3": lambda: trevett(3),
}


def make(name: str, folder: Path) -> tuple[Both, list[list[str]], list[str]]:
    """A model, its vocabularies, and the arguments that convert it."""
    model: Any = scrambled(MODELS[name]())
    words = [SOURCE, TARGET] if name in ("plain", "attention") else [TREVETT_SOURCE, TREVETT_TARGET]
    state = model.state_dict()
    if name == "attention":
        state = {part: getattr(model, part).state_dict() for part in ("encoder", "decoder")}
    torch.save(state, folder / "model.pt")
    (folder / "source.txt").write_text("\n".join(words[0]) + "\n")
    (folder / "target.json").write_text(json.dumps({word: number for number, word in enumerate(words[1])}))
    return model, words, [str(folder / each) for each in ("model.pt", "source.txt", "target.json")]


@pytest.mark.parametrize("name", MODELS)
def test_equal_logits(name: str, tmp_path: Path) -> None:
    theirs, (source_words, target_words), (path, *vocabularies) = make(name, tmp_path)
    converted = convert(path, tmp_path / "out", vocabularies)
    model, tokenizer = load(tmp_path / "out")
    words = " ".join(["s1", "s4", "s4", "s0", "s8"])
    ids = tokenizer(words, return_tensors="pt").input_ids
    assert ids[0, -1] == END
    around = source_words[0].startswith("<")
    assert (ids[0, 0] == START) == around
    start, end = ("<sos>", "<eos>") if around else ("SOS", "EOS")
    source = [*([start] if around else []), *words.split(), end]
    target = [start, "t3", "t3", "t0", "t10"]
    ours = tokenizer.target.get_vocab()
    found = model(ids, decoder_input_ids=torch.tensor([[ours[word] for word in target]])).logits[0]
    with torch.no_grad():
        wanted = theirs(
            torch.tensor([[source_words.index(word) for word in source]]),
            torch.tensor([[target_words.index(word) for word in target]]),
        )[0]
    torch.testing.assert_close(found[:, [ours[word] for word in target_words]], wanted, rtol=1e-4, atol=1e-5)
    missing = sorted(set(ours) - set(target_words))
    assert all((found[:, ours[word]] < -1000).all() for word in missing)
    assert "between blanks" in converted.told[0]


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, _, (path, *vocabularies) = make("attention", tmp_path)
    output = tmp_path / "out"
    state = dict(model.state_dict())

    def refused(message: str, state: Any = state, files: Any = vocabularies, origin: str | None = "tutorial") -> None:
        torch.save(state, path)
        with pytest.raises(ValueError, match=message):
            convert(path, output, files, origin)
        assert not output.exists()

    refused("name the source's and the target's by --vocab", files=())
    refused("asks to run 'tests.convert.test_tutorial.Both'", model)
    refused("asks to run 'tests.convert.test_tutorial.Both'", model, origin=None)
    refused("holds no state dict", [torch.zeros(2)])
    refused("holds 'decoder.extra', which no model", {**state, "decoder.extra": torch.zeros(2)})
    refused("is of the tutorial's first version", {**state, "decoder.attn_combine.weight": torch.zeros(2, 2)})
    refused("where \\(8, 8\\) is needed", {**state, "decoder.attention.Wa.weight": torch.zeros(8, 3)})
    refused("holds no 'encoder.embedding.weight'", {})
    short = tmp_path / "short.txt"
    short.write_text("\n".join(SOURCE[:-1]))
    refused("has 10 words and '.*' 11 rows", files=[short, vocabularies[1]])
    short.write_text("\n".join(["SOS", "EOS", *["a"] * 9]))
    refused("has 'a' twice", files=[short, vocabularies[1]])
    (tmp_path / "model.pt").write_bytes(b"PK no such file")
    with pytest.raises(ValueError, match=r"is no file of torch.save, or damaged|cannot be read"):
        convert(path, output, vocabularies, "tutorial")
    make("attention", tmp_path)
    main([path, "--vocab", *vocabularies, "--output", str(output)])
    assert " parameters." in capsys.readouterr().out
