# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Runs another toolkit's own code in its own environment: an order on standard input, an answer on standard output, as
JSON. It imports nothing of this package.

    PYTHON benchmarks/origins/worker.py g2p_en
    PYTHON benchmarks/origins/worker.py netra
    PYTHON benchmarks/origins/worker.py opennmt
    PYTHON benchmarks/origins/worker.py fairseq
"""

import json
import os
import sys
import types
from unittest import mock


def scatter(model, attention: str) -> None:
    """
    Random weights by which a Transformer's outputs depend on the source.

    Args:
        attention: What the names of the attention over the source have in them.
    """
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                torch.nn.init.uniform_(parameter, -0.4, 0.4)
                parameter *= 2.0 if attention in name or parameter.shape[0] > 20 else 1.0
            elif "norm" in name and name.endswith("weight"):
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
            else:
                torch.nn.init.uniform_(parameter, -0.5, 0.5)


def g2p_en(order: dict) -> dict:
    # Its dictionary and tagger are downloaded when it is imported: the model alone is asked here.
    for name in ("nltk", "nltk.corpus", "nltk.tokenize", "inflect"):
        module = mock.MagicMock()
        module.__spec__ = None
        sys.modules[name] = module
    sys.modules["nltk.corpus"].cmudict.dict.return_value = {}
    from g2p_en import G2p

    model = G2p()
    return {"texts": [" ".join(model.predict(word)) for word in order["words"]]}


def netra(order: dict) -> dict:
    """
    Words by the package's own model, and by models of its kind in `folders`, which are written first, with random
    weights; each with one beam, and the package's own with three, as by default.
    """
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    from pathlib import Path

    from khmer_transliterator import Transliterator, _inference, _model
    from tensorflow import keras

    keras.Model.predict = lambda self, inputs, verbose=0: self.predict_on_batch(inputs)  # without its report: 50 x

    def write(folder: Path, seed: int, scale: float, length: int, half: int, hidden: int, embedding: int) -> None:
        """As its page says that it was trained, with the sizes that are given."""
        import pickle

        from keras.src.legacy.preprocessing.text import Tokenizer

        alphabets = [Tokenizer(char_level=True, oov_token="<unk>", filters="") for _ in range(2)]
        for each, text in zip(alphabets, order["alphabets"]):
            each.fit_on_texts([text])
        keras.utils.set_random_seed(seed)
        layers = _model
        letters, before = layers.Input((None,)), layers.Input((None,))
        table, other = (layers.Embedding(len(each.word_index) + 1, embedding) for each in alphabets)
        states = layers.Bidirectional(layers.GRU(half, return_sequences=True))(table(letters))
        steps, _ = layers.GRU(hidden, return_sequences=True, return_state=True)(other(before))
        context = layers.AdditiveAttention()([steps, layers.TimeDistributed(layers.Dense(hidden))(states)])
        head = layers.Dense(len(alphabets[1].word_index) + 1, activation="softmax")
        model = layers.Model([letters, before], head(layers.Concatenate(axis=-1)([steps, context])))
        model.set_weights([keras.random.uniform(part.shape, -scale, scale) for part in model.get_weights()])
        weight, bias = (part.numpy() for part in head.weights)
        bias[[0, 1, alphabets[1].word_index["\t"]]] = -20.0  # as a trained model has them
        head.set_weights([weight, bias])
        model.save(folder / _inference._MODEL_PATH.name)
        names = ("eng_tokenizer", "khm_tokenizer", "max_eng_len", "max_khm_len")
        (folder / _inference._ASSETS_PATH.name).write_bytes(pickle.dumps(dict(zip(names, (*alphabets, length, 24)))))

    own = Transliterator()
    found = {
        "texts": [own.transliterate(word, beam_width=1) for word in order["words"]],
        "of_three_beams": [own.transliterate(word) for word in order["words"]],
        "of_folders": [],
    }
    for each in order["folders"]:
        folder = Path(each["path"])
        write(folder, *each["kind"])
        _inference._MODEL_PATH, _inference._ASSETS_PATH = (
            folder / path.name for path in (_inference._MODEL_PATH, _inference._ASSETS_PATH)
        )
        random = Transliterator()
        found["of_folders"].append([random.transliterate(word, beam_width=1) for word in each["words"]])
    return found


def opennmt(order: dict) -> dict:
    """Orders of several models, so that its imports are waited for once."""
    for name in ("spacy", "fasttext"):
        sys.modules[name] = mock.MagicMock()  # of transforms that nobody uses here
    from argparse import Namespace

    import onmt.opts
    import torch
    from onmt.inference_engine import InferenceEnginePY
    from onmt.inputters.inputter import dict_to_vocabs
    from onmt.model_builder import build_base_model
    from onmt.utils.parse import ArgumentParser

    torch.serialization.add_safe_globals([Namespace])  # which its torch did not ask for

    def write(order: dict) -> None:
        parser = ArgumentParser()
        onmt.opts.train_opts(parser)
        paths = ["--data", "-", "--save_model", "-", "--src_vocab", "-"]
        options, _ = parser.parse_known_args([*paths, *order["options"]])
        options = ArgumentParser.ckpt_model_opts(options)
        ArgumentParser.update_model_opts(options)
        ArgumentParser.validate_model_opts(options)
        vocabs = {**order["vocabs"], "data_task": "seq2seq", "decoder_start_token": "<s>"}
        torch.manual_seed(order["seed"])
        model = build_base_model(options, dict_to_vocabs(dict(vocabs)))
        if options.encoder_type == "transformer":
            scatter(model, "context_attn")
        else:
            for parameter in model.parameters():
                torch.nn.init.uniform_(parameter, -order["scale"], order["scale"])
        with torch.no_grad():
            for token in ("<unk>", "<blank>", "<s>"):
                model.generator.bias[vocabs["tgt"].index(token)] = -20.0  # as a trained model has it
        state = {name: value for name, value in model.state_dict().items() if "generator" not in name}
        # As its own ModelSaver writes it, without a state of the optimizer.
        checkpoint = {"model": state, "generator": model.generator.state_dict(), "vocab": vocabs, "opt": options}
        torch.save(checkpoint, order["path"])

    def translate(order: dict) -> list[str]:
        parser = ArgumentParser()
        onmt.opts.translate_opts(parser)
        options = parser.parse_args(
            [
                "--model",
                order["path"],
                "--src",
                order["path"],
                "--max_length",
                "20",
                "--max_length_ratio",
                "0",
                *order.get("search", []),
            ]
        )
        ArgumentParser.validate_translate_opts(options)
        ArgumentParser._get_all_transform_translate(options)
        ArgumentParser._validate_transforms_opts(options)
        ArgumentParser.validate_translate_opts_dynamic(options)
        engine = InferenceEnginePY(options)
        scores, texts = engine.infer_list(order["sentences"])
        return [each[0] for each in texts], [float(each[0]) for each in scores]

    for each in order["models"]:
        write(each)
    texts, scores = zip(*(translate(each) for each in order["models"]))
    return {"texts": texts, "scores": scores}


def fairseq(order: dict) -> dict:
    """Orders of several models."""
    from argparse import Namespace

    import torch
    from fairseq.data import Dictionary
    from fairseq.models.lstm import LSTMModel, base_architecture
    from fairseq.sequence_generator import SequenceGenerator

    texts, scores = [], []
    for each in order["models"]:
        dictionaries = []
        for words, path in zip(each["words"], each["dictionaries"]):
            dictionary = Dictionary()
            for word in words:
                dictionary.add_symbol(word)
            dictionary.save(path)
            dictionaries.append(dictionary)
        options = Namespace(**each["options"], max_source_positions=100, max_target_positions=100, criterion="")
        base_architecture(options)
        task = Namespace(source_dictionary=dictionaries[0], target_dictionary=dictionaries[1])
        torch.manual_seed(each["seed"])
        model = LSTMModel.build_model(options, task).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                torch.nn.init.uniform_(parameter, -each["scale"], each["scale"])
            if getattr(model.decoder, "fc_out", None) is not None:
                model.decoder.fc_out.bias[dictionaries[1].bos()] = -20.0  # as a trained model has them
                model.decoder.fc_out.bias[dictionaries[1].unk()] = -20.0
        # The parts of a trainer's checkpoint that say what the model is.
        kept = {"_name": "translation", "source_lang": "src", "target_lang": "tgt"}
        torch.save({"args": None, "cfg": {"model": options, "task": kept}, "model": model.state_dict()}, each["path"])
        search = SequenceGenerator([model], dictionaries[1], beam_size=1, max_len_a=0, max_len_b=each["longest"])
        lines, sums = [], []
        for sentence in each["sentences"]:
            ids = dictionaries[0].encode_line(sentence, add_if_not_exist=False).long()[None]
            sample = {"net_input": {"src_tokens": ids, "src_lengths": torch.tensor([ids.shape[1]])}}
            best = search.generate([model], sample)[0][0]
            lines.append(dictionaries[1].string(best["tokens"]))
            sums.append(best["positional_scores"].sum().item())
        texts.append(lines)
        scores.append(sums)
    return {"texts": texts, "scores": scores}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a toolkit prints of itself is no answer
    origins: dict[str, types.FunctionType] = {"g2p_en": g2p_en, "netra": netra, "opennmt": opennmt, "fairseq": fairseq}
    print(json.dumps(origins[sys.argv[1]](json.load(sys.stdin))), file=answers, flush=True)


if __name__ == "__main__":
    main()
