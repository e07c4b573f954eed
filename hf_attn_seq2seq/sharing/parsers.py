# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The options of `push`. What is imported here takes no time, so that `--help` is answered at once."""

from hf_attn_seq2seq.console import CommandParser


EXAMPLES = """examples:
  hf-attn-seq2seq push outputs/en-fr --repo user/en-fr --dry-run
  hf-attn-seq2seq push outputs/en-fr --repo user/en-fr --private
  hf-attn-seq2seq push outputs/en-fr --repo user/en-fr --pr --message "Trained for longer"
  hf-attn-seq2seq push user/en-fr --repo user/en-fr-page --space

Log in first with `hf auth login`, or set HF_TOKEN. All files go into one commit: an interrupted push changes nothing
and can be repeated.
"""


def push_parser() -> CommandParser:
    parser = CommandParser(
        description="Push a trained model to the Hugging Face Hub, with code, tokenizer, recipe, results, model "
        "card and explanation.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a trained model's folder, its recipe, or the name of a packaged model; with --space, a name on the Hub",
    )
    parser.add_argument("--repo", required=True, metavar="USER/NAME", help="the repository; created if necessary")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--pr", action="store_true", help="open a pull request in an existing repository")
    parser.add_argument("--revision", metavar="REV", help="the branch; created if necessary (default: main)")
    parser.add_argument("--space", action="store_true", help="push a Space, a web page that runs the model")
    parser.add_argument("--message", metavar="TEXT", help="the commit message")
    parser.add_argument(
        "--sentence", metavar="TEXT", help="the sentence to explain in the picture and the page (default: an example)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace everything in the repository")
    parser.add_argument("--dry-run", action="store_true", help="list what would be pushed; needs no login or network")
    return parser
