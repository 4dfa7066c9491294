"""The Hugging Face Space: `MODEL_ID` names the networks, as folders or on the Hub, separated by commas."""

import os

from modeling_tacfn.demo import launch_demo


if __name__ == "__main__":
    models = [name.strip() for name in os.environ.get("MODEL_ID", "model").split(",") if name.strip()]
    launch_demo(models)
