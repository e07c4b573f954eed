# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""The page as a Space: a folder that the Hub can run."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from huggingface_hub import SpaceCardData

from hf_attn_seq2seq._version import __version__
from hf_attn_seq2seq.decoding.names import packaged_models


GRADIO = "6.31.0"  # if Gradio is not installed: the version that this page was tested with
APP = '''"""The page of hf_attn_seq2seq, showing {model}."""

from hf_attn_seq2seq.app.page import launch, make_page


demo = make_page({model!r})

if __name__ == "__main__":
    launch(demo)
'''
README = """# {title}

Type a text to see its translation, where the model looked for each word, and every number along the way.
Change a word, or where the model looks, and see the effect. Nothing that you type is stored.

Made with `hf_attn_seq2seq`. To run the same page on your own machine:

```bash
pip install "hf_attn_seq2seq[app]"
hf-attn-seq2seq app {model}
```
"""


def write_space(folder: Path, model: str) -> None:
    """
    Write the three files of a Space: app.py, requirements.txt and README.md with its metadata.

    Args:
        folder: Folder of the Space; created if it does not exist.
        model: A name on the Hub, or the name of a packaged model.

    Raises:
        OSError: A file cannot be written.
        ValueError: The model is a local folder, or its name is not valid on the Hub.
    """
    packaged = model in packaged_models()
    if not packaged:
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id

        try:
            validate_repo_id(model)
        except HFValidationError:
            raise ValueError(f"'{model}' is not a name on the Hub: give one such as user/model.") from None
        if os.path.isdir(model):
            raise ValueError(
                f"'{model}' is a local folder, which a Space cannot reach: push the model to the Hub first."
            )
    try:
        gradio = version("gradio")
    except PackageNotFoundError:
        gradio = GRADIO
    title = f"Translation by attention: {model}"
    data = SpaceCardData(
        title=title,
        sdk="gradio",
        sdk_version=gradio,
        app_file="app.py",
        license="apache-2.0",
        models=None if packaged else [model],
        short_description="Translate a text and see how it works",
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(APP.format(model=model), "utf-8")
    requirements = f"hf_attn_seq2seq[app]=={__version__}\ngradio=={gradio}\n"
    (folder / "requirements.txt").write_text(requirements, "utf-8")
    card = f"---\n{data.to_yaml()}\n---\n{README.format(title=title, model=model)}"
    (folder / "README.md").write_text(card, "utf-8")
