#!/usr/bin/env bash
# transformers 5.23.0: with gradient accumulation, Trainer gives BART, Marian and T5 the gradient of the large batch
# multiplied by the number of accumulated batches: 4.0 times at four, 8.0 times at eight. Their forward takes **kwargs, so
# Trainer leaves it to the model to divide by the number of targets of the whole step; these models do not, and divide by
# those of each batch. Adam hides this where gradients are not clipped; with max_grad_norm, SGD or Adafactor the training
# differs. `train_loss` shows it. The gradients compared are those of the first step: 32 examples, unclipped, no dropout.
#
# Seen (ratio of the gradient norm to that of one batch of 32, by number of accumulated batches):
#   BART   {1: 1.0, 4: 4.0, 8: 8.0}
#   Marian {1: 1.0, 4: 4.0, 8: 8.0}
#   T5     {1: 1.0, 4: 4.0, 8: 8.0}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cat > ratio.py <<'PYTHON'
import torch
from transformers import BartConfig, BartForConditionalGeneration, MarianConfig, MarianMTModel, T5Config
from transformers import T5ForConditionalGeneration, Trainer, TrainerCallback, TrainingArguments, set_seed

ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1, "forced_eos_token_id": 2}
small = {"vocab_size": 50, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32}
small |= {"decoder_ffn_dim": 32, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "dropout": 0.0, **ids}
t5 = {"vocab_size": 50, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
MODELS = {
    "BART": lambda: BartForConditionalGeneration(BartConfig(**small)),
    "Marian": lambda: MarianMTModel(MarianConfig(**small, max_position_embeddings=32)),
    "T5": lambda: T5ForConditionalGeneration(T5Config(**t5, pad_token_id=0, eos_token_id=2, decoder_start_token_id=0)),
}


class Norm(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.value = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm().item()


rows = torch.randint(3, 50, (32, 6), generator=torch.Generator().manual_seed(0)).tolist()
examples = [{"input_ids": row, "labels": [*row, 2]} for row in rows]
wrong = False
for name, make in MODELS.items():
    norms = {}
    for batch, accumulated in ((32, 1), (8, 4), (4, 8)):
        set_seed(0)
        arguments = TrainingArguments(
            "out", per_device_train_batch_size=batch, gradient_accumulation_steps=accumulated, max_steps=1,
            max_grad_norm=0.0, report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True,
        )
        norm = Norm()
        Trainer(make(), arguments, train_dataset=examples, callbacks=[norm]).train()
        norms[accumulated] = norm.value
    ratios = {accumulated: round(value / norms[1], 2) for accumulated, value in norms.items()}
    print(f"{name:6} {ratios}")
    wrong = wrong or any(abs(ratio - accumulated) > 0.02 * accumulated for accumulated, ratio in ratios.items())
raise SystemExit("the behaviour has changed" if wrong else 0)
PYTHON
venv/bin/python ratio.py 2>/dev/null | grep -v train_runtime
