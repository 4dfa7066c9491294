"""Packaging of modeling_tacfn. Tools are configured in pyproject.toml, tested versions are in constraints.txt."""

import re
from pathlib import Path

from setuptools import setup


ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (ROOT / "modeling_tacfn" / "__init__.py").read_text()).group(1)

CORE = [
    "torch>=2.6,<3",
    "transformers>=5.10,<6",
    "huggingface-hub>=1.0,<3",
    "safetensors>=0.5,<1",
    "numpy>=2,<3",
    "scipy>=1.13,<2",
    "pillow>=10,<13",
    "av>=17,<19",
    "soundfile>=0.13,<1",
    "opencv-python-headless>=4.10,<5",  # 5.x dropped the bundled face cascades
    "torchaudio>=2.6,<3",
    "matplotlib>=3.9,<4",
    "tqdm>=4.66,<5",
]
TRAIN = [
    "accelerate>=1.10,<2",
    "datasets>=4.0,<6",
    "evaluate>=0.4.5,<1",
    "scikit-learn>=1.5,<2",
    "tensorboard>=2.17,<3",
    "pyyaml>=6,<7",
]
MOSEI = ["h5py>=3.11,<4"]
SPACE = ["gradio>=6,<7"]
EXPORT = ["onnx>=1.17,<2", "onnxscript>=0.5,<1", "onnxruntime>=1.20,<2", "openvino>=2025,<2027"]
DEV = [
    *TRAIN,
    *MOSEI,
    *EXPORT,
    *SPACE,
    "playwright>=1.50,<2",
    "pytest>=8.3,<10",
    "pytest-xdist>=3.6,<4",
    "ruff>=0.9,<1",
    "transformers-mlinter>=0.1.5,<1",
    "librosa>=0.11,<1",
]

setup(
    name="modeling_tacfn",
    version=VERSION,
    description="Audio-visual emotion recognition with TACFN as real Hugging Face models",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=["modeling_tacfn", "dataset_scripts"],
    package_data={"modeling_tacfn": ["model_card_template.md", "demo_examples/*"]},
    py_modules=["tacfn"],
    install_requires=CORE,
    extras_require={"train": TRAIN, "mosei": MOSEI, "space": SPACE, "export": EXPORT, "dev": DEV},
    entry_points={"console_scripts": ["tacfn=tacfn:main"]},
)
