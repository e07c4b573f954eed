# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The live page in Firefox: it translates, and its run is Python's."""

from pathlib import Path
from typing import Any

import numpy as np

from hf_attn_seq2seq.explain import Trace, trace
from hf_attn_seq2seq.explain.live.site import save_site
from tests.explain.conftest import TEXT
from tests.explain.firefox import firefox
from tests.explain.live import save
from tests.explain.same import assert_same
from tests.helpers import FAMILIES


RUN = """async (text) => {
  const said = document.getElementById("said");
  const answered = () => said.textContent.includes("in this browser") || said.classList.contains("wrong");
  while (!answered()) await new Promise((done) => setTimeout(done, 100));
  const made = await live.trace(text);
  const plain = ([name, { shape, data }]) => [name, { shape, values: Array.from(data) }];
  const checks = await live.checks(made);
  const chapters = document.querySelectorAll("[data-chapter]");
  for (const chapter of chapters) chapter.click();
  return {
    said: said.textContent,
    wrong: said.classList.contains("wrong"),
    bad: document.querySelectorAll(".check.bad").length,
    chapters: chapters.length,
    failed: checks.filter(({ passed }) => !passed),
    document: made.document,
    arrays: Object.fromEntries(Object.entries(made.arrays).map(plain)),
  };
}"""


def test_the_live_page_in_firefox_is_python(tokenizer: Any, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.mkdir()
    with firefox(profile) as browser:  # first, for it may have to be skipped
        model = save(tmp_path / "model", tokenizer, **FAMILIES["transformer-gru"])
        written = save_site(str(tmp_path / "model"), tmp_path / "page.html", single_file=True, example=TEXT)
        browser.goto(written.path.as_uri())
        found = browser.evaluate(RUN, TEXT)
    wanted = trace(model, tokenizer, TEXT, num_beams=1)
    assert not found["wrong"], found["said"]
    assert found["said"].startswith(wanted.document["target"]["text"])
    arrays = {
        name: np.asarray(each["values"], dtype=np.float32).reshape(each["shape"])
        for name, each in found["arrays"].items()
    }
    assert_same(Trace(found["document"], arrays), wanted)
    assert found["failed"] == []
    assert (found["chapters"] > 0, found["bad"]) == (True, 0)
