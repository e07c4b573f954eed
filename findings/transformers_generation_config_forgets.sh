#!/usr/bin/env bash
# transformers 5.23.0: a setting of one's own in `model.generation_config`, as a custom search or logits processor reads it,
# is written by save_pretrained and left out by from_pretrained, without a word, if the generation config was made from the
# model's configuration, as every new model's is. `_from_model_config: true` in the file is why; a setting that Transformers
# knows, in the same file, is read. A model tuned to search with the setting searches without it once it is loaded.
#
# Seen (in the file; after loading):
#   my_weight 0.3 missing
#   num_beams 7 7
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 transformers==5.23.0
cat > forget.py <<'PYTHON'
import json

from transformers import BartConfig, BartForConditionalGeneration

sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
model = BartForConditionalGeneration(BartConfig(vocab_size=50, **sizes, **heads))
model.generation_config.my_weight = 0.3
model.generation_config.num_beams = 7
model.save_pretrained("saved")
written = json.load(open("saved/generation_config.json"))
loaded = BartForConditionalGeneration.from_pretrained("saved").generation_config
for name in ("my_weight", "num_beams"):
    print(name, written[name], getattr(loaded, name, "missing"))
PYTHON
found=$(HF_HUB_OFFLINE=1 venv/bin/python forget.py 2> /dev/null)
echo "$found"
[ "$found" = "my_weight 0.3 missing
num_beams 7 7" ]
