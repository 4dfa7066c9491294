"""What is imported before anything is asked for: start-up is fast because heavy libraries wait until they are needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from modeling_tacfn import media


ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    *("accelerate", "av", "cv2", "datasets", "evaluate", "fsspec", "gradio", "matplotlib", "onnx", "onnxruntime", "openvino"),
    *("pandas", "pyarrow", "scipy.ndimage", "scipy.signal", "scipy.stats", "sklearn", "soundfile", "torchaudio"),
)  # fmt: skip
# What every network of transformers brings along, by a torchaudio that loads beside a CPU build of torch.
TRANSFORMERS = """
import runpy
runpy.run_path("modeling_tacfn/torchaudio_cpu.py")["make_importable"]()
from transformers import AutoModel, AutoProcessor, Pipeline, PreTrainedModel, ProcessorMixin
from transformers.pipelines import PIPELINE_REGISTRY
"""


def imported_by(script: str, before: str = "") -> set[str]:
    """Which modules a script imports in a new process, beyond those of the script before it."""
    script = f"{before}\nimport json, sys\nbefore = set(sys.modules)\n{script}\nprint(json.dumps(list(set(sys.modules) - before)))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_reading_media_imports_no_library_before_there_is_a_file():
    script = (
        "import types; package = types.ModuleType('package')\n"
        f"package.__path__ = [{str(Path(media.__file__).parent)!r}]\n"
        "sys.modules['package'] = package\nimport package.media"
    )
    assert imported_by(script) & {*HEAVY, "torch", "transformers", "scipy"} == set()


@pytest.mark.slow
@pytest.mark.parametrize("module", ["modeling_tacfn", "modeling_tacfn.cli"])
def test_importing_adds_nothing_heavy_to_torch_and_transformers(module):
    imported = imported_by(f"import {module}", TRANSFORMERS)
    assert module in imported
    assert imported & set(HEAVY) == set()
