# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Push a trained model to the Hugging Face Hub, with code, tokenizer, recipe, results, model card and explanation."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub.utils import disable_progress_bars
from huggingface_hub.utils import logging as hub_logging

from hf_attn_seq2seq.sharing.parsers import push_parser
from hf_attn_seq2seq.sharing.stage import staged
from hf_attn_seq2seq.sharing.upload import check_destination, check_login, send


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `push`; invalid input raises a ValueError with a one-sentence message."""
    run(push_parser().parse(arguments))


def run(options: argparse.Namespace) -> None:
    """Gather the files, and upload them."""
    hub_logging.set_verbosity_error()  # otherwise every retry prints a warning
    if not sys.stderr.isatty():
        disable_progress_bars()
    check_destination(options.repo, options.pr, options.revision)
    if not options.dry_run:
        check_login()  # before staging, which may take a minute
    with staged(options.run, options.repo, space=options.space, sentence=options.sentence) as found:
        for note in found.notes:
            print(f"Note: {note}")
        _print_files(found.folder)
        if options.dry_run:
            print("Nothing was pushed.")
            return
        pushed = send(
            found.folder,
            options.repo,
            private=options.private,
            create_pr=options.pr,
            revision=options.revision,
            space=options.space,
            overwrite=options.overwrite,
            message=options.message,
        )
    print(f"{'Pull request' if options.pr else 'Pushed'}: {pushed.url}")


def _print_files(folder: Path) -> None:
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    for path, size in sorted(sizes.items()):
        print(f"{size:>13,}  {path}")
    print(f"{sum(sizes.values()):>13,}  bytes in {len(sizes)} files")


if __name__ == "__main__":
    from hf_attn_seq2seq.console import run_command

    run_command(main)
