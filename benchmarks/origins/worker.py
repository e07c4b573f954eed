# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Runs another toolkit's own code in its own environment: an order on standard input, an answer on standard output, as
JSON. It imports nothing of this package.

    PYTHON benchmarks/origins/worker.py g2p_en
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
    origins: dict[str, types.FunctionType] = {"g2p_en": g2p_en, "opennmt": opennmt, "fairseq": fairseq}
    print(json.dumps(origins[sys.argv[1]](json.load(sys.stdin))), file=answers, flush=True)


if __name__ == "__main__":
    main()
