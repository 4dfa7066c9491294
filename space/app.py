"""
The Hugging Face Space. The networks are those that the variable MODEL_ID names, folders or names on the Hub separated by commas;
without it those under `models` at the top of README.md; without any, the folder `model`.
"""

import os
from pathlib import Path

from huggingface_hub import metadata_load

from modeling_tacfn.demo import launch_demo


def chosen_models() -> list[str]:
    named = [name.strip() for name in os.environ.get("MODEL_ID", "").split(",") if name.strip()]
    return named or metadata_load(Path(__file__).with_name("README.md")).get("models") or ["model"]


if __name__ == "__main__":
    launch_demo(chosen_models())
