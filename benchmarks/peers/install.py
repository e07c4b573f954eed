# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
Make the environments of the systems that the package is measured against, each in a folder of its own.

    python benchmarks/peers/install.py                   # all of them, about 2 GB
    python benchmarks/peers/install.py ctranslate2       # one

An environment that is there already is left as it is. fairseq is built from its source distribution, which needs a
C++ compiler. Its configuration classes, not its models, are changed in one point: Python 3.11 wants their defaults
hashable. JoeyNMT, fairseq and Sockeye are installed without what they ask for beside PyTorch, since some of it
excludes current versions; the lists below have what their models, searches and losses import.
"""

import argparse
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple


sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.rounds import ENVIRONMENTS


class Peer(NamedTuple):
    package: str
    alone: bool  # installed without what it asks for
    others: tuple[str, ...]


TORCH = "torch==2.13.0"  # as in constraints.txt
PEERS = {
    "joeynmt": Peer(
        "joeynmt==2.3.0",
        True,
        (
            TORCH,
            "importlib_metadata==10.2.0",
            "matplotlib==3.11.2",
            "numpy==2.4.6",
            "packaging==26.4",
            "pyyaml==6.0.4",
            "sacrebleu==2.6.0",
            "sacremoses==0.2.0",
            "sentencepiece==0.2.1",  # later ones lack what its tokenizer calls
            "subword-nmt==0.3.8",
            "tensorboard==2.21.0",
        ),
    ),
    "fairseq": Peer(
        "fairseq==0.12.2",
        True,
        (
            TORCH,
            "bitarray==3.12.3",
            "cffi==2.1.1",
            "hydra-core==1.3.2",
            "numpy==1.26.4",
            "omegaconf==2.3.0",
            "packaging==26.4",
            "regex==2026.11.19",
            "sacrebleu==2.6.0",
            "tqdm==4.70.1",
        ),
    ),
    "ctranslate2": Peer("ctranslate2==4.8.5", False, ("numpy==2.4.6", "tokenizers==0.23.3")),
    # Of benchmarks/origins/prove.py.
    "g2p_en": Peer("g2p_en==2.1.0", True, ("numpy==2.4.6",)),
    "opennmt": Peer(
        "OpenNMT-py==3.5.1",
        True,
        (
            TORCH,
            "configargparse==1.9.0",
            "ctranslate2==4.8.5",
            "numpy==2.4.6",
            "pyahocorasick==2.3.1",
            "pyonmttok==1.38.1",
            "pyyaml==6.0.4",
            "rapidfuzz==3.14.6",
            "sacrebleu==2.6.0",
            "safetensors==0.8.0",
            "six==1.17.0",
            "tqdm==4.70.1",
        ),
    ),
    "netra": Peer(
        "netra-transliterate==1.0.1", True, ("keras==3.15.1", "khmerspell==0.1.1", "tensorflow-cpu==2.21.0")
    ),
    "joeynmt1": Peer("joeynmt==1.5.1", True, (TORCH, "numpy==1.26.4", "pyyaml==6.0.4")),
    "sockeye": Peer("sockeye==3.1.34", True, (TORCH, "numpy==1.26.4", "pyyaml==6.0.4", "sacrebleu==2.6.0")),
    "eole": Peer(
        "eole==0.6.4",
        True,
        (
            TORCH,
            "huggingface_hub==2.4.0",
            "numpy==2.4.6",
            "pillow==12.3.0",
            "protobuf==7.36.2",
            "pydantic==2.14.3",
            "pyonmttok==1.38.1",
            "pyyaml==6.0.4",
            "rapidfuzz==3.14.6",
            "regex==2026.11.19",
            "safetensors==0.8.0",
            "six==1.17.0",
            "tqdm==4.70.1",
        ),
    ),
    # Of benchmarks/marian_engines.py; pymarian's wheel asks for what its evaluation needs.
    "fxtranslate": Peer("fxtranslate==0.5.0", True, ()),
    "pymarian": Peer(
        "pymarian==1.12.31",
        True,
        (
            "huggingface_hub==2.4.0",
            "portalocker==4.4.2",
            "pypdl==1.5.6",
            "pyyaml==6.0.4",
            "requests==2.34.2",
            "tqdm==4.70.1",
        ),
    ),
}
BERGAMOT = "@browsermt/bergamot-translator"  # of npm, for Node; also of benchmarks/marian_engines.py
BERGAMOT_VERSION = "0.4.9"
NAMES = (*PEERS, "bergamot")
# Under fairseq's folder in an environment.
UNHASHABLE = ("dataclass/configs.py", "models/transformer/transformer_config.py")


def install(name: str, folder: Path) -> None:
    """
    Make the environment of one of `NAMES`.

    Args:
        folder: A new folder, or the unfinished one of an earlier attempt.

    Raises:
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    if name == "bergamot":
        install_bergamot(folder)
        return
    peer = PEERS[name]
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if peer.others:
        subprocess.run([*pip, *peer.others], check=True)
    subprocess.run([*pip, *(["--no-deps"] if peer.alone else []), peer.package], check=True)
    if name == "fairseq":
        (package,) = folder.glob("lib/python*/site-packages/fairseq")
        for file in UNHASHABLE:
            make_hashable(package / file)


def install_bergamot(folder: Path) -> None:
    """The engine in WebAssembly; its script for workers is no module, as which Node takes it."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--no-audit", "--no-fund", "--loglevel", "error"]
    subprocess.run(["npm", "install", *options, f"{BERGAMOT}@{BERGAMOT_VERSION}"], cwd=folder, check=True)
    (folder / "node_modules" / BERGAMOT / "worker" / "package.json").write_text('{"type": "commonjs"}\n')


def make_hashable(path: Path) -> None:
    """Give the dataclasses of a module a hash."""
    path.write_text(path.read_text().replace("\n@dataclass\n", "\n@dataclass(unsafe_hash=True)\n"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"{', '.join(NAMES)} (default: all)")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="(default: %(default)s)")
    options = parser.parse_args()
    for name in options.peers or NAMES:
        if name not in NAMES:
            sys.exit(f"error: Unknown peer '{name}': choose among {', '.join(NAMES)}.")
        folder = options.environments / name
        if folder.exists():
            print(f"{name}: is there already, in {folder}")
            continue
        print(f"{name}: installing in {folder}", flush=True)
        unfinished = folder.with_name(f".{name}")
        try:
            install(name, unfinished)
        except FileNotFoundError:
            sys.exit(f"error: {name} could not be installed: it needs Node and its npm.")
        except subprocess.CalledProcessError:
            sys.exit(f"error: {name} could not be installed; pip or npm says why above.")
        unfinished.rename(folder)


if __name__ == "__main__":
    main()
