#!/usr/bin/env bash
# transformers 5.23.0: a model saved in shards into a folder that already holds it as one file loads its old weights.
#
# save_pretrained(folder) writes model.safetensors. Saved there again with a smaller max_shard_size, the model is written
# to model-0000x-of-0000y.safetensors and model.safetensors.index.json, and the outdated model.safetensors stays.
# from_pretrained(folder) prefers model.safetensors: it silently loads the weights of the first save, without anything
# learned between the two saves.
#
# Seen: files: model-00001-of-00004.safetensors ... model-00004-of-00004.safetensors, model.safetensors,
#       model.safetensors.index.json
#       mean of the embeddings: saved 1.0, loaded -0.0004
#
# Workaround: remove model.safetensors before saving in shards, or save into a new folder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
import os

import torch
from transformers import AutoModelForSeq2SeqLM, BartConfig, BartForConditionalGeneration
from transformers.utils import logging

logging.disable_progress_bar()
torch.manual_seed(0)
sizes = {"d_model": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "encoder_layers": 1, "decoder_layers": 1}
heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
model = BartForConditionalGeneration(BartConfig(vocab_size=64, max_position_embeddings=32, **sizes, **heads))
model.save_pretrained("model")
with torch.no_grad():
    model.model.shared.weight.fill_(1.0)  # stands for training
model.save_pretrained("model", max_shard_size="10KB")
print("files:", *sorted(name for name in os.listdir("model") if name.startswith("model")))
loaded = AutoModelForSeq2SeqLM.from_pretrained("model").model.shared.weight.mean().item()
print("mean of the embeddings: saved 1.0, loaded", round(loaded, 4))
assert os.path.exists("model/model.safetensors"), "the behaviour has changed: the older file is removed"
assert abs(loaded) < 0.5, "the behaviour has changed: the shards are loaded"
PYTHON
