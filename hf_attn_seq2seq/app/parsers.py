# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The options of `app`. What is imported here takes no time, so that `--help` is answered at once."""

from hf_attn_seq2seq.app.limits import Limits
from hf_attn_seq2seq.console import CommandParser
from hf_attn_seq2seq.decoding.names import DEFAULT_MODEL


EXAMPLES = """examples:
  hf-attn-seq2seq app
  hf-attn-seq2seq app outputs/mine --compare en-fr
  hf-attn-seq2seq app user/model --port 8000 --no-browser
"""


def app_parser() -> CommandParser:
    parser = CommandParser(
        description="Open a local web page for translating and for seeing how each translation is made.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "model",
        nargs="?",
        default=DEFAULT_MODEL,
        metavar="MODEL",
        help=f"folder of a trained model, or its name on the Hub (default: {DEFAULT_MODEL}, English to French)",
    )
    parser.add_argument("--compare", metavar="MODEL", help="a second model, shown beside the first")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, metavar="N", help="(default: the first free port from 7860)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser, only print the address")
    usual = Limits()
    limits = parser.add_argument_group("limits per run")
    limits.add_argument("--max-words", type=int, default=usual.words, metavar="N", help="(default %(default)s)")
    limits.add_argument(
        "--max-characters", type=int, default=usual.characters, metavar="N", help="(default %(default)s)"
    )
    limits.add_argument("--max-seconds", type=float, default=usual.seconds, metavar="X", help="(default %(default)s)")
    return parser
