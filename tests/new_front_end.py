# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The front end that docs/where-to-change.md adds, wherever models are used; `tests/test_docs.py` runs this."""

from pathlib import Path

import numpy as np

from hf_attn_seq2seq import pipeline
from hf_attn_seq2seq.decoding.loaded import quick_engine
from hf_attn_seq2seq.decoding.loading import load_recognizer
from hf_attn_seq2seq.decoding.recognition import states_of, transcribe
from hf_attn_seq2seq.explain import trace
from hf_attn_seq2seq.export.writer import export
from hf_attn_seq2seq.sharing.stage import stage_model
from hf_attn_seq2seq.training.recipe import load_recipe
from tests.media_models import media_model, sound_files


made = media_model("stacked", scale=0.5, pyramid_layers=1, encoder_layers=2)
folder, files = made.save(Path("model")), [str(path) for path in sound_files(Path())]
expected = [made.plainly(file, num_beams=2)[0] for file in files]
assert len(set(expected)) > 1

# Batches
lengths = np.array([1, 3, 4, 12, 13])
model = made.model.double()
for length, states in zip(lengths, states_of(model.config, lengths)):
    inputs = {"input_features": model.dummy_inputs["input_features"][:, :length].double()}
    assert model.get_encoder()(**inputs).last_hidden_state.shape[1] == states
made.model.float()

# Commands, the graph, the export
recognizer = load_recognizer(folder)
engine = quick_engine(recognizer.model)
assert engine.name == "graph"
assert [each.text for each in transcribe(recognizer, files, engine=engine, num_beams=2)] == expected
exported = load_recognizer(export(str(folder), "onnx", Path("exported")).folder)
assert [each.text for each in transcribe(exported, files, num_beams=2)] == expected
task = "automatic-speech-recognition"
assert [each["text"] for each in pipeline(task, folder)(files, batch_size=3, num_beams=2)] == expected

# Recipes and pushes
recipe = load_recipe(overrides=["data.source_kind=audio", "features.mel_bins=20", "model.frontend=stacked"])
assert recipe.model_config_for(40).frontend == "stacked"
Path("pushed").mkdir()
stage_model(str(folder), "someone/stacked", Path("pushed"))
assert f'pipeline("{task}", model="someone/stacked"' in Path("pushed", "README.md").read_text("utf-8")

# Explanations
traced = trace(made.model, made.processor, files[0])
assert traced.verify().passed
start, end = traced.input["spans"][1]
assert np.isclose(end - start, 6 * traced.input["hop"])
