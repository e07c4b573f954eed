# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Runs another toolkit's own code in its own environment: an order on standard input, an answer on standard output, as
JSON. It imports nothing of this package.

    PYTHON benchmarks/origins/worker.py g2p_en
    PYTHON benchmarks/origins/worker.py netra
    PYTHON benchmarks/origins/worker.py opennmt
    PYTHON benchmarks/origins/worker.py eole
    PYTHON benchmarks/origins/worker.py fairseq
    PYTHON benchmarks/origins/worker.py joeynmt
    PYTHON benchmarks/origins/worker.py joeynmt1
    PYTHON benchmarks/origins/worker.py sockeye
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
    from fairseq.models import ARCH_CONFIG_REGISTRY
    from fairseq.models.lstm import LSTMModel
    from fairseq.models.transformer import TransformerModel
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
        options = Namespace(**each["options"], max_source_positions=100, max_target_positions=90, criterion="")
        ARCH_CONFIG_REGISTRY[options.arch](options)
        task = Namespace(source_dictionary=dictionaries[0], target_dictionary=dictionaries[1])
        torch.manual_seed(each["seed"])
        kind = LSTMModel if options.arch.startswith("lstm") else TransformerModel
        model = kind.build_model(options, task).eval()
        with torch.no_grad():
            if kind is TransformerModel:
                scatter(model, "encoder_attn")
            else:
                for parameter in model.parameters():
                    torch.nn.init.uniform_(parameter, -each["scale"], each["scale"])
            if getattr(model.decoder, "fc_out", None) is not None:
                model.decoder.fc_out.bias[dictionaries[1].bos()] = -20.0  # as a trained model has them
                model.decoder.fc_out.bias[dictionaries[1].unk()] = -20.0
        # The parts of a trainer's checkpoint that say what the model is.
        kept = {"_name": "translation", **dict(zip(("source_lang", "target_lang"), each["languages"]))}
        torch.save({"args": None, "cfg": {"model": options, "task": kept}, "model": model.state_dict()}, each["path"])
        search = SequenceGenerator(
            [model], dictionaries[1], beam_size=each["beams"], max_len_a=0, max_len_b=each["longest"]
        )
        lines, sums = [], []
        for sentence in each["sentences"]:
            ids = dictionaries[0].encode_line(sentence, add_if_not_exist=False).long()[None]
            sample = {"net_input": {"src_tokens": ids, "src_lengths": torch.tensor([ids.shape[1]])}}
            best = search.generate([model], sample)[0][0]
            lines.append(dictionaries[1].string(best["tokens"]))
            # Behind the longest output it adds an end that nobody has chosen.
            sums.append(best["positional_scores"][: each["longest"]].sum().item())
        texts.append(lines)
        scores.append(sums)
    return {"texts": texts, "scores": scores}


def eole(order: dict) -> dict:
    """Orders of several models."""
    import torch
    from eole.config.run import PredictConfig, TrainConfig
    from eole.inference_engine import InferenceEnginePY
    from eole.inputters.inputter import dict_to_vocabs
    from eole.models.model import get_model_class
    from eole.models.model_saver import TrainingModelSaver

    def write(order: dict) -> None:
        vocabs = dict_to_vocabs(order["vocabs"])
        training = {"world_size": 0, "gpu_ranks": [], "compute_dtype": "fp32", "model_path": order["path"]}
        config = TrainConfig(src_vocab="-", tgt_vocab="-", data={}, model=order["options"], training=training)
        torch.manual_seed(order["seed"])
        model = get_model_class(config.model).build(config.model, vocabs, config.training)
        scatter(model, "context_attn")
        with torch.no_grad():
            for token in ("<unk>", "<blank>", "<s>"):
                if model.generator.bias is not None:
                    model.generator.bias[order["vocabs"]["tgt"].index(token)] = -20.0  # as a trained model has it
        saver = TrainingModelSaver(order["path"], model, config, vocabs)
        saver.update_step_dir(1)
        saver._save_weights(model.state_dict())
        saver._save_vocab()
        saver._save_config()

    def translate(order: dict) -> tuple[list[str], list[float]]:
        # One sentence at a time: its recurrent encoders read the padding of a batch too.
        search = {"beam_size": order["beams"], "length_penalty": "none", "max_length": order["longest"]}
        config = PredictConfig(
            model_path=[order["path"]],
            src="-",
            world_size=0,
            gpu_ranks=[],
            compute_dtype="fp32",
            batch_size=1,
            max_length_ratio=0,
            **search,
        )
        engine = InferenceEnginePY(config)
        scores, _, texts = engine.infer_list(order["sentences"])
        return [each[0] for each in texts], [float(each[0]) for each in scores]

    for each in order["models"]:
        write(each)
    texts, scores = zip(*(translate(each) for each in order["models"]))
    return {"texts": texts, "scores": scores}


def scramble(model, scale: float) -> None:
    """Give what is learned random values, and what is the same for every input small ones, so that outputs differ."""
    import torch

    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            if parameter.dim() > 1:
                torch.nn.init.uniform_(parameter, -scale, scale)
            elif name.endswith("weight"):  # of a norm
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
            else:
                torch.nn.init.uniform_(parameter, -scale / 5, scale / 5)


def trim(path) -> None:
    """Leave out sinusoids that nobody reads, which would be most of a small checkpoint of JoeyNMT."""
    import torch

    found = torch.load(path)
    state = found["model_state"]
    state |= {name: value[:, :1].clone() for name, value in state.items() if name.endswith(".pe.pe")}
    torch.save(found, path)


def joeynmt(order: dict) -> dict:
    """Orders of several models, each a folder as its training leaves it; texts, and the tokens of both sides."""
    from pathlib import Path

    import joeynmt.prediction
    import torch
    import yaml
    from joeynmt.config import load_config, parse_global_args
    from joeynmt.model import build_model
    from joeynmt.vocabulary import build_vocab

    def write(each: dict) -> None:
        folder = Path(each["path"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(each["config"]))
        for side in ("src", "trg"):
            words = ["<unk>", "<pad>", "<s>", "</s>", *each["words"][side]]
            (folder / f"{side}_vocab.txt").write_text("".join(f"{word}\n" for word in words))
        args = prepared(each)
        src_vocab, trg_vocab = build_vocab(args.data)
        torch.manual_seed(each["seed"])
        model = build_model(args.model, src_vocab=src_vocab, trg_vocab=trg_vocab)
        with torch.no_grad():
            scramble(model, each["scale"])
            model.decoder.output_layer.weight[trg_vocab.pad_index] = 0.0  # which its greedy search would let through
        state = {"model_state": model.state_dict(), "optimizer_state": {}, "scheduler_state": None}
        torch.save(state, folder / "best.ckpt")

    def prepared(each: dict):
        config = load_config(str(Path(each["path"]) / "config.yaml"))
        config["model_dir"] = each["path"]
        for side in ("src", "trg"):
            part = config["data"][side]
            part["voc_file"] = str(Path(each["path"]) / f"{side}_vocab.txt")
            for file in ("model_file", "codes"):
                if file in part.get("tokenizer_cfg", {}):
                    part["tokenizer_cfg"][file] = str(Path(each["path"]) / part["tokenizer_cfg"][file])
        return parse_global_args(config, rank=0, mode="translate")

    def translate(each: dict) -> dict[str, list[str]]:
        args = prepared(each)
        model, _, _, data = joeynmt.prediction.prepare(args, rank=0, mode="translate")
        for sentence in each["sentences"]:
            data.set_item(sentence)
        _, _, texts, tokens, *_ = joeynmt.prediction.predict(
            model=model, data=data, device=args.device, n_gpu=0, args=args.test, autocast=args.autocast
        )
        sources = [" ".join(data.get_item(number, data.src_lang)) for number in range(len(data))]
        return {
            "texts": texts,
            "tokens": [" ".join(each) for each in tokens],
            "sources": sources,
            "logits": logits(model, *each["forced"]) if "forced" in each else [],
        }

    def logits(model, source: str, target: str) -> list[list[float]]:
        """Of every token after each of a target."""
        (source_ids,), lengths, _ = model.src_vocab.sentences_to_ids([source.split()], bos=False, eos=True)
        (target_ids,), _, _ = model.trg_vocab.sentences_to_ids([target.split()], bos=True, eos=False)
        with torch.no_grad():
            found, *_ = model._encode_decode(
                src=torch.tensor([source_ids]),
                trg_input=torch.tensor([target_ids]),
                src_mask=torch.ones(1, 1, len(source_ids), dtype=torch.bool),
                src_length=torch.tensor(lengths),
                trg_mask=torch.ones(1, 1, len(target_ids), dtype=torch.bool),
            )
        return found[0].tolist()

    for each in order["models"]:
        write(each)
    done = [translate(each) for each in order["models"]]
    for each in order["models"] if order.get("trimmed") else []:
        trim(Path(each["path"]) / "best.ckpt")
    return {kind: [each[kind] for each in done] for kind in ("texts", "tokens", "sources", "logits")}


def joeynmt1(order: dict) -> dict:
    """The same by JoeyNMT 1, without the library of data sets that it was written for."""
    from pathlib import Path

    names = ["matplotlib", "matplotlib.backends", "matplotlib.backends.backend_pdf", "matplotlib.figure"]
    names += ["matplotlib.pyplot", "pkg_resources", "sacrebleu", "torch.utils.tensorboard", "torchtext"]
    for name in (*names, "torchtext.legacy", "torchtext.legacy.data", "torchtext.legacy.datasets"):
        sys.modules[name] = mock.MagicMock()
    import torch
    import yaml
    from joeynmt.helpers import bpe_postprocess
    from joeynmt.model import build_model
    from joeynmt.search import greedy
    from joeynmt.vocabulary import Vocabulary

    def answer(each: dict) -> dict[str, list]:
        folder = Path(each["path"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(each["config"]))
        sides = []
        for side in ("src", "trg"):
            made = Vocabulary(tokens=each["words"][side])
            made.to_file(str(folder / f"{side}_vocab.txt"))
            sides.append(Vocabulary(file=str(folder / f"{side}_vocab.txt")))
        source, target = sides
        torch.manual_seed(each["seed"])
        model = build_model(each["config"]["model"], src_vocab=source, trg_vocab=target).eval()
        with torch.no_grad():
            scramble(model, each["scale"])
            model.decoder.output_layer.weight[:3] = 0.0  # what is no word, and would be said as one
        torch.save({"model_state": model.state_dict()}, folder / "best.ckpt")
        data, kind = each["config"]["data"], each["config"]["testing"]["bpe_type"]

        def given(text: str) -> dict:
            text = text.lower() if data["lowercase"] else text
            ids = [source.stoi[token] for token in (list(text) if data["level"] == "char" else text.split())]
            ids.append(source.stoi["</s>"])
            mask = torch.ones(1, 1, len(ids), dtype=torch.bool)
            return {"src": torch.tensor([ids]), "src_length": torch.tensor([len(ids)]), "src_mask": mask}

        tokens, texts = [], []
        with torch.no_grad():
            for sentence in each["sentences"]:
                inputs = given(sentence)
                states, hidden, _, _ = model(return_type="encode", **inputs)
                ids, _ = greedy(inputs["src_mask"], 20, model, states, hidden)
                tokens += target.arrays_to_sentences(ids)
                texts.append(("" if data["level"] == "char" else " ").join(tokens[-1]))
            logits = []
            if "forced" in each:
                ids = [target.stoi[token] for token in ("<s> " + each["forced"][1]).split()]
                mask = torch.ones(1, 1, len(ids), dtype=torch.bool)
                inputs = {**given(each["forced"][0]), "trg_input": torch.tensor([ids]), "trg_mask": mask}
                found, *_ = model._encode_decode(**inputs)
                logits = found[0].tolist()
        if data["level"] == "bpe":
            texts = [bpe_postprocess(text, bpe_type=kind) for text in texts]
        return {"texts": texts, "tokens": [" ".join(row) for row in tokens], "logits": logits}

    done = [answer(each) for each in order["models"]]
    for each in order["models"] if order.get("trimmed") else []:
        trim(Path(each["path"]) / "best.ckpt")
    return {kind: [each[kind] for each in done] for kind in ("texts", "tokens", "logits")}


def sockeye(order: dict) -> dict:
    """Orders of several models, each a folder as its training leaves it."""
    from pathlib import Path

    import torch
    from sockeye import constants, data_io, encoder, inference, model, transformer, vocab

    def write(each: dict) -> None:
        folder = Path(each["path"])
        folder.mkdir(parents=True, exist_ok=True)
        vocabularies = [
            {token: number for number, token in enumerate([*constants.VOCAB_SYMBOLS, *words])}
            for words in each["words"]
        ]
        vocab.save_source_vocabs(vocabularies[:1], str(folder))
        vocab.save_target_vocabs(vocabularies[1:], str(folder))
        sizes = [len(each) for each in vocabularies]
        embeddings = [encoder.EmbeddingConfig(size, each["encoder"]["model_size"], 0.0) for size in sizes]
        longest = each["positions"]["source"], each["positions"]["target"]
        statistics = data_io.DataStatistics(*[1] * 6, *longest, *sizes, 1.0, 0.1, [longest], [1], [1.0])
        config = model.ModelConfig(
            data_io.DataConfig(statistics, *longest, 1, 1),
            *sizes,
            *embeddings,
            *(transformer.TransformerConfig(**each[side]) for side in ("encoder", "decoder")),
            weight_tying_type=each["tying"],
            dtype=each["dtype"],
        )
        torch.manual_seed(each["seed"])
        made = model.SockeyeModel(config)
        with torch.no_grad():
            scramble(made, each["scale"])
            for token in (constants.PAD_ID, constants.BOS_ID):
                made.output_layer.bias[token] = -20.0  # as a trained model has them
        made.save_config(str(folder))
        made.save_version(str(folder))
        made.save_parameters(str(folder / "params.best"))

    def logits(each: dict) -> list[list[float]]:
        """Of every token after each of a target."""
        made, (source,), (target,) = model.load_model(each["path"])
        ids = [data_io.tokens2ids(text.split(), words) for text, words in zip(each["forced"], (source, target))]
        ids = [[*ids[0], constants.EOS_ID], [constants.BOS_ID, *ids[1]]]
        given = [part for row in ids for part in (torch.tensor([row]).unsqueeze(2), torch.tensor([[len(row), 0]]))]
        with torch.no_grad():
            return made.eval()(*given)[constants.LOGITS_NAME][0].tolist()

    def translate(each: dict) -> list[str]:
        device = torch.device("cpu")
        models, sources, targets = model.load_models(device, [each["path"]], inference_only=True)
        models[0].eval()
        translator = inference.Translator(
            device,
            "linear",
            inference.CandidateScorer(),
            1,
            constants.BEAM_SEARCH_STOP_ALL,
            models,
            sources,
            targets,
            beam_size=1,
            constant_length_ratio=-1.0,
            max_output_length=each["longest"] - constants.SPACE_FOR_XOS,
            greedy=True,
        )
        inputs = [inference.make_input_from_plain_string(*pair) for pair in enumerate(each["sentences"])]
        return [output.translation for output in translator.translate(inputs)]

    for each in order["models"]:
        write(each)
    models = order["models"]
    return {"texts": [translate(each) for each in models], "logits": [logits(each) for each in models]}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a toolkit prints of itself is no answer
    origins: dict[str, types.FunctionType] = {
        "g2p_en": g2p_en,
        "netra": netra,
        "opennmt": opennmt,
        "eole": eole,
        "fairseq": fairseq,
        "joeynmt": joeynmt,
        "joeynmt1": joeynmt1,
        "sockeye": sockeye,
    }
    print(json.dumps(origins[sys.argv[1]](json.load(sys.stdin))), file=answers, flush=True)


if __name__ == "__main__":
    main()
