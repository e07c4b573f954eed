# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""Runs hf_attn_seq2seq/sharing/command.py."""

from hf_attn_seq2seq.console import run_command
from hf_attn_seq2seq.sharing.command import main


if __name__ == "__main__":
    run_command(main)
