#!/usr/bin/env bash
# JoeyNMT 2.3.0: the name of the initializer decides what a trained Transformer computes.
#
# `initializer: xavier_normal` does not only draw the first weights. Where encoder and decoder are Transformers, building
# the model also sets the factors of all residual sums to those of DeepNet (alpha, which the log does not mention), in
# place of 1 or of the `alpha` that the configuration gives. They are in no checkpoint: they are set again, by the
# initializer's name, whenever the model is built, for translation too. Who loads the same weights with a configuration
# whose initializer is another one (none, since it "only matters in training", or the one of a later run that continues
# from the checkpoint), or writes a reader of the weights alone, gets another model without any message: all names and
# shapes fit.
#
# Seen: the same weights: <All keys matched successfully>
#       xavier_uniform   alpha of encoder and decoder: [1.0, 1.0]
#       xavier_normal    alpha of encoder and decoder: [0.81, 1.316]
#       xavier_normal, alpha: 1.0 in the configuration: [0.81, 1.316]
#       states of the encoder differ by 0.36
#
# Workaround: keep `initializer` with the weights, as a part of the architecture, and read it when weights are converted.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 importlib_metadata==10.2.0 matplotlib==3.11.2 numpy==2.4.6 packaging==26.4 \
    pyyaml==6.0.4 sacrebleu==2.6.0 sacremoses==0.2.0 sentencepiece==0.2.1 subword-nmt==0.3.8 tensorboard==2.21.0
"$work/venv/bin/pip" install --quiet --no-deps joeynmt==2.3.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from types import SimpleNamespace

import torch
from joeynmt.model import build_model
from joeynmt.vocabulary import Vocabulary

special = SimpleNamespace(
    unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>", sep_token=None, unk_id=0, pad_id=1, bos_id=2,
    eos_id=3, sep_id=None, lang_tags=[],
)  # fmt: skip


def build(**model):
    vocabulary = Vocabulary(tokens=[f"word{number}" for number in range(20)], cfg=special)
    side = {"type": "transformer", "embeddings": {"embedding_dim": 16}, "hidden_size": 16, "ff_size": 32}
    side |= {"num_layers": 1, "num_heads": 2, "layer_norm": "post", **model.pop("side", {})}
    return build_model({**model, "encoder": dict(side), "decoder": dict(side)}, vocabulary, vocabulary).eval()


def alphas(model):
    return [round(stack.layers[0].alpha, 3) for stack in (model.encoder, model.decoder)]


torch.manual_seed(0)
first = build(initializer="xavier_uniform")
second = build(initializer="xavier_normal")
told = second.load_state_dict(first.state_dict())
third = build(initializer="xavier_normal", side={"alpha": 1.0})
source, length = torch.tensor([[5, 6, 7, 3]]), torch.tensor([4])
mask = torch.ones(1, 1, 4, dtype=torch.bool)
with torch.no_grad():
    states = [model.encoder(model.src_embed(source), length, mask)[0] for model in (first, second)]
difference = float((states[0] - states[1]).abs().max())
print("the same weights:", told)
print("xavier_uniform   alpha of encoder and decoder:", alphas(first))
print("xavier_normal    alpha of encoder and decoder:", alphas(second))
print("xavier_normal, alpha: 1.0 in the configuration:", alphas(third))
print("states of the encoder differ by", round(difference, 2))
assert not told.missing_keys and not told.unexpected_keys
assert alphas(first) == [1.0, 1.0] and alphas(second) == alphas(third) == [0.81, 1.316]
assert difference > 0.1
PYTHON
