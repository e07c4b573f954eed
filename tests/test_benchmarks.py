# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The benchmarks give every system the same work, and sum up what was measured as they say. No clock, no peers."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import (
    against_peers,
    by_length,
    commands,
    growth,
    invented_words,
    packaged,
    short_steps,
    single_words,
)
from benchmarks.peers import install, workload
from benchmarks.peers.ours import END, PAD, GraphInt8, Torch, sources
from benchmarks.peers.worker import Worker, make
from benchmarks.rounds import Spread, best, interpreter, measure_rates, ratio, read_options, table
from benchmarks.rounds import Worker as Remote
from hf_attn_seq2seq.decoding.parsers import translate_parser


# The work.


def test_sentences_to_translate_have_the_lengths_that_are_told():
    for cell in workload.SEARCHES.values():
        inputs = sources(cell.sentences())
        assert inputs["input_ids"].shape == (cell.batch, cell.source_length)
        assert inputs["attention_mask"].all()
        assert (inputs["input_ids"][:, -1] == END).all()
        assert (inputs["input_ids"][:, :-1] >= workload.FIRST_WORD).all()
    assert workload.Decoding(5, 32).sentences()[0] == workload.Decoding(1, 1).sentences()[0]


@pytest.mark.parametrize("kind", workload.TRAINING)
def test_pairs_to_train_on_have_the_lengths_that_are_told(kind):
    batches = workload.training_batches(kind)
    assert batches == workload.training_batches(kind)
    assert len(batches) == workload.BATCHES
    for batch in batches:
        for pair in batch:
            lengths = len(pair.source) + 1, len(pair.target) + 1
            assert min(lengths) >= workload.SHORTEST
            assert max(lengths) <= workload.LONGEST
            assert abs(lengths[0] - lengths[1]) <= workload.LONGEST_DIFFERENCE


def test_random_batches_count_sentences_and_bucketed_ones_tokens():
    assert all(len(batch) == workload.SENTENCES for batch in workload.training_batches(workload.RANDOM))
    for batch in workload.training_batches(workload.BUCKETED):
        longest = max(max(len(pair.source), len(pair.target)) + 1 for pair in batch)
        tokens = longest * len(batch)
        assert workload.BATCH_TOKENS - longest < tokens <= workload.BATCH_TOKENS
        assert max(len(pair.target) for pair in batch) - min(len(pair.target) for pair in batch) <= 2


def test_padding():
    assert workload.padded([[7, 8], [9]], 0, [1], 2) == [[1, 7, 8, 2], [1, 9, 2, 0]]
    assert workload.padded([[7]], 0) == [[7]]
    assert PAD == 0  # as the mask of `sources` needs


# Our own systems.


@pytest.fixture(scope="module")
def trained() -> Worker:
    return Worker(Torch())


@pytest.mark.parametrize("cell", ["greedy, batch 1", "beam 5, batch 1"])
def test_outputs_have_one_token_for_each_step(trained, cell):
    found = trained.measure(cell, turn=0, seconds=0)
    assert (found["runs"], found["tokens"]) == (1, workload.TARGET_LENGTH)


def test_the_graph_does_the_same_work():
    found = Worker(GraphInt8()).measure("beam 5, batch 1", turn=0, seconds=0)
    assert (found["runs"], found["tokens"]) == (1, workload.TARGET_LENGTH)


def test_a_training_step_counts_labels_and_changes_the_weights(trained):
    before = trained.system.model.lm_head.weight.detach().clone()
    found = trained.measure(workload.RANDOM, turn=1, seconds=0)
    assert found["tokens"] == sum(len(pair.target) + 1 for pair in workload.training_batches(workload.RANDOM)[1])
    assert not trained.system.model.lm_head.weight.equal(before)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_in_its_own_process():
    with Remote("ours", sys.executable) as worker:
        assert worker.description["parameters"] == 12_262_912  # as JoeyNMT's model of these sizes
        memory = against_peers.measure_memory([worker], [workload.RANDOM])
        assert memory[workload.RANDOM]["ours"] > 3 * 4 * 12_262_912 / 2**20  # gradients, and two moments of Adam
        rates = measure_rates([worker], ["greedy, batch 1"], rounds=2, seconds=0)
    assert len(rates["greedy, batch 1"]["ours"]) == 2


def test_a_worker_that_cannot_start_says_why():
    with pytest.raises(RuntimeError, match="KeyError: 'nothing'"):
        Remote("nothing", sys.executable)


# Summing up.

RATES = {
    "greedy, batch 1": {
        "ours": [100.0, 200.0, 300.0],
        "ours-graph-int8": [400.0, 400.0, 600.0],
        "joeynmt": [50.0, 50.0, 100.0],
        "fairseq": [100.0, 100.0, 100.0],
        "ctranslate2": [800.0, 800.0, 800.0],
    }
}


def test_a_ratio_is_taken_within_each_round():
    assert ratio([100.0, 200.0, 300.0], [100.0, 400.0, 100.0]) == Spread(1.0, 0.5, 3.0)
    assert str(Spread(1.0, 0.5, 3.0)) == "1.00 (0.50 to 3.00)"
    with pytest.raises(ValueError, match="argument 2 is longer"):
        ratio([1.0], [1.0, 2.0])


def test_the_best_peer_is_the_fastest_of_the_cell():
    assert best(RATES["greedy, batch 1"], ("joeynmt", "fairseq")) == "fairseq"


def test_the_table_of_ratios():
    memory = {"greedy, batch 1": {"ours": 30.0, "joeynmt": 60.0, "fairseq": 50.0}}
    assert against_peers.ratios(RATES, memory) == [
        ["our GRU, PyTorch / best recurrent peer", "2.00 (1.00 to 3.00)"],
        ["our GRU, graph int8 / best recurrent peer", "4.00 (4.00 to 6.00)"],
        ["our GRU, graph int8 / CTranslate2 int8", "0.50 (0.50 to 0.75)"],
        ["memory of training, our GRU / best recurrent peer", "0.60"],
    ]
    assert ["ctranslate2", "800"] in against_peers.figures(RATES, memory)
    assert ["fairseq, memory", "50 MB"] in against_peers.figures(RATES, memory)


def test_growth_is_relative_to_the_shortest():
    cells = {cell: {"ours": [100.0, 200.0]} for cell in workload.GROWTH[1]}
    cells["beams 1, source 100"] = {"ours": [50.0, 100.0]}
    cells["beams 1, target 160"] = {"ours": [400.0, 800.0]}
    same = "1.00 (1.00 to 1.00)"
    assert growth.rows(cells, "source") == [["ours, 1 beams", "133.33 ms", same, same, "2.00 (2.00 to 2.00)"]]
    assert growth.rows(cells, "target") == [["ours, 1 beams", "6.67 ms", same, same, same, "0.25 (0.25 to 0.25)"]]


def test_a_markdown_table():
    assert table(["a", "bcd"], [["1", "2"]]) == "| a | bcd |\n| - | --- |\n| 1 | 2   |"


def test_different_work_is_refused():
    class Answers:
        def __init__(self, name, tokens):
            self.name, self.tokens = name, tokens

        def ask(self, do, **order):
            return {"runs": 2, "tokens": self.tokens, "seconds": 1.0}

    with pytest.raises(ValueError, match=r"Not the same work in 'train': .*'one'"):
        measure_rates([Answers("one", 40), Answers("two", 38)], ["train"], rounds=1, seconds=0)


# Environments and arguments.


def test_a_missing_environment_is_named_with_the_remedy(tmp_path):
    with pytest.raises(
        ValueError, match=r"no environment of fairseq in .*install\.py fairseq, or .*--without fairseq"
    ):
        interpreter("fairseq", tmp_path)


def test_hashes_for_the_configurations_of_fairseq(tmp_path):
    module = tmp_path / "configs.py"
    module.write_text("from dataclasses import dataclass\n\n\n@dataclass\nclass A:\n    a: int = 1\n")
    install.make_hashable(module)
    found: dict = {}
    exec(module.read_text(), found)
    assert hash(found["A"]()) == hash(found["A"]())


def test_every_benchmark_can_be_tried_and_is_listed(monkeypatch, capsys):
    folder = commands.ROOT / "benchmarks"
    listed = (folder / "README.md").read_text("utf-8")
    scripts = [path for path in folder.glob("*.py") if "__main__" in path.read_text("utf-8")]
    assert len(scripts) > 5
    for script in scripts:
        assert f"`{script.name}`" in listed
        monkeypatch.setattr(sys, "argv", [script.name, "--help"])
        with pytest.raises(SystemExit):
            importlib.import_module(f"benchmarks.{script.stem}").main()
        assert "--quick" in capsys.readouterr().out


def test_arguments(tmp_path, capsys):
    options = read_options(against_peers.build_parser(), ["--quick", "--without", "fairseq", "ctranslate2"])
    assert (options.rounds, options.seconds) == (2, 0.05)
    assert options.without == ["fairseq", "ctranslate2"]
    with pytest.raises(SystemExit):
        against_peers.build_parser().parse_args(["--without", "marian"])
    assert commands.build_parser().parse_args(["--lines", "5", "10"]).lines == [5, 10]
    assert read_options(growth.build_parser(), []).rounds == 7
    for module in (packaged, short_steps):
        assert read_options(module.build_parser(), ["--before", str(commands.ROOT)]).before == commands.ROOT
        with pytest.raises(SystemExit, match="is not a checkout of this repository"):
            read_options(module.build_parser(), ["--before", str(tmp_path)])


# Commands.


def test_the_cost_and_the_output_of_a_command(tmp_path):
    lines = tmp_path / "lines"
    lines.write_text("one\ntwo\n")
    cost, printed = commands.run(commands.Command([shutil.which("cat")], lines=lines))
    assert printed == "one\ntwo\n"
    assert cost.peak > 0
    assert cost.first_line is not None
    silent, _ = commands.run(commands.Command([sys.executable, "-c", "pass"]))
    assert silent.first_line is None


def test_a_command_that_fails_says_why():
    with pytest.raises(commands.Failure, match="lost"):
        commands.run(commands.Command([sys.executable, "-c", "raise SystemExit('lost')"]))


def test_our_commands_are_as_the_parser_wants_them(tmp_path):
    lines = tmp_path / "2.txt"
    lines.write_text("one\ntwo\n")
    systems = {"ours": commands.System(), "torch": commands.System(options=("--engine", "torch"))}
    systems["before"] = commands.System(tmp_path)
    found = commands.tasks(systems, [lines], ["translate-with-ctranslate2"], tmp_path)
    assert list(found["2 lines, 5 beams"]) == ["ours", "torch", "before", "ctranslate2"]
    assert list(found["import"]) == ["ours", "before", "libraries"]
    assert found["2 lines, 5 beams"]["ctranslate2"].lines == lines
    for task in ("one sentence", "2 lines, 5 beams"):
        for name in systems:
            command = found[task][name]
            assert command.root == systems[name].root
            _, _, _, translate, *arguments = command.arguments
            assert translate == "translate"
            translate_parser().parse(arguments)
    assert (commands.ROOT / found["make demo"]["ours"].arguments[1]).is_file()


def test_the_table_of_commands_compares_with_the_first_system():
    costs = {
        "one sentence": {
            "ours": [commands.Cost(2.0, 1.5, 1.0, 100.0)],
            "other": [commands.Cost(1.0, None, None, 50.0)],
        }
    }
    assert commands.rows(costs) == [
        ["one sentence", "ours", "2.00", "", "1.50", "1.00", "100"],
        ["one sentence", "other", "1.00", "0.50 (0.50 to 0.50)", "", "", "50"],
    ]


def test_the_packaged_model_and_its_graph_translate_alike():
    plain, graph = (Worker(make(name)) for name in ("packaged", "packaged-graph"))
    for cell in ("greedy, batch 32", "beam 5, batch 1"):
        assert plain.translations(cell) == graph.translations(cell)
    assert plain.measure("greedy, batch 32", turn=0, seconds=0)["tokens"] == 32  # sentences


def test_the_table_of_the_short_way():
    rates = {"greedy, batch 1": {short_steps.SHORT: [30.0, 20.0], short_steps.PLAIN: [15.0, 20.0]}}
    for model, milliseconds in (("recurrent, random weights", "800.00"), ("packaged", "40.00")):
        assert short_steps.rows(model, rates) == [
            [f"{model}; greedy, batch 1", milliseconds, "1.50 (1.00 to 2.00)"],
        ]


def test_the_table_of_the_packaged_model():
    rates = {"greedy, batch 1": {"generate()": [10.0, 20.0], "graph": [100.0, 100.0]}}
    equal = {"greedy, batch 1": {"generate()": "16 of 16", "graph": "15 of 16"}}
    assert packaged.rows(rates, equal) == [["greedy, batch 1", "66.67", "7.50 (5.00 to 10.00); 15 of 16"]]


def test_texts_by_length_are_joined_pairs(tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"s{number}\tt{number}\n" for number in range(20)) + "s0\tanother\n", "utf-8")
    pairs = by_length.read_pairs(file)
    assert len(pairs) == 20
    assert ("s0", "t0") in pairs
    texts = by_length.joined(pairs)
    assert [len(source.split()) for source, _ in texts] == [n for n in range(1, 9) for _ in range(20 // n)]
    assert all(target == source.replace("s", "t") for source, target in texts)


def test_invented_words_are_in_no_list_and_not_in_the_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "words": "l'\neau\ncoeur\npeut\nêtre\nest\nil\nelle\nquelqu'un\naujourd'hui\n",
        "en": "Ada's heart\nIs it water?\nThe 3rd\n",
        "fr": "Le cœur d'Ada\nL’eau, peut-être; est-elle bleute?\nQuelqu'un est 3e aujourd'hui, il il floute.\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    invented_words.main([str(tmp_path / name) for name in files])
    row = [cell.strip() for cell in capsys.readouterr().out.splitlines()[-1].strip("| ").split("|")]
    assert row == ["fr", "13", "3", "23.08 %", "le 1, bleute 1, floute 1"]
    with pytest.raises(SystemExit):
        invented_words.main([str(tmp_path / "words"), str(tmp_path / "words"), str(tmp_path / "fr")])
    assert "has 3 lines" in capsys.readouterr().err


def test_single_words_are_right_if_listed_whatever_article_and_signs(capsys: pytest.CaptureFixture[str]) -> None:
    english, french = single_words.listed("en"), single_words.listed("fr")
    assert len(english) == len(french) == 120
    assert english["house"] == {"maison"}
    assert french["maison"] == {"house", "home"}
    words = {word: english[word] for word in ("dog", "water", "sister", "hello", "no", "please")}
    given = ["Le chien.", "L’eau", "une sœur !", "Bonjourno", "les", "S'il vous plaît."]
    assert single_words.right(words, given) == ["dog", "water", "sister", "please"]
    single_words.main(["en-fr", "--quick", "--show"])
    shown = capsys.readouterr().out
    assert "en-fr, small: " in shown
    counts = [line.split("|")[3].split() for line in shown.splitlines()[-3:]]
    assert all(0 < int(right) <= int(total) == 10 for right, _, total in counts)
