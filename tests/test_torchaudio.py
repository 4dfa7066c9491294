"""torchaudio's CUDA wheels beside a CPU torch: what `import modeling_tacfn` must repair, and what it must leave alone."""

import importlib.util
import os
import site
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from modeling_tacfn import torchaudio_cpu


ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "modeling_tacfn" / "torchaudio_cpu.py"
LOAD_MODULE = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("cure", {str(MODULE)!r})
cure = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cure)
"""


def run(script: str, cwd: Path, path: Path | None = None, *options: str, check: bool = True):
    environment = {**os.environ, "PYTHONPATH": str(path or ""), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *options, "-c", script]
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=180)
    assert not check or result.returncode == 0, result.stderr[-3000:]
    return result


def fake_packages(folder: Path, cuda: str | None, extension: str) -> Path:
    """A torch and a torchaudio of a few lines, so that every combination of builds can be met on any machine."""
    for name, content in {
        "torch/__init__.py": "from . import version",
        "torch/version.py": f"cuda = {cuda!r}\nhip = None",
        "torchaudio/__init__.py": "import torch\nfrom . import _extension\nfrom . import functional",
        "torchaudio/functional.py": "from torchaudio._extension import fail_if_no_align, _IS_TORCHAUDIO_EXT_AVAILABLE\n"
        "@fail_if_no_align\ndef forced_align(): return 'aligned'",
        "torchaudio/_extension/__init__.py": extension,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


BROKEN = "raise OSError('libc10_cuda.so: cannot open shared object file')"
WORKING = "_IS_TORCHAUDIO_EXT_AVAILABLE = True\nfail_if_no_align = lambda function: function"


def test_a_cuda_extension_beside_a_cpu_torch_is_done_without(tmp_path):
    packages = fake_packages(tmp_path, cuda=None, extension=BROKEN)
    assert "libc10_cuda" in run("import torchaudio", tmp_path, packages, check=False).stderr
    script = (
        LOAD_MODULE
        + """
cure.make_importable()
import torchaudio
assert torchaudio.functional._IS_TORCHAUDIO_EXT_AVAILABLE is False
try:
    torchaudio.functional.forced_align()
except RuntimeError as error:
    print(error)
"""
    )
    assert "forced_align needs the compiled extension" in run(script, tmp_path, packages).stdout


def test_it_helps_after_an_import_that_has_failed(tmp_path):
    packages = fake_packages(tmp_path, cuda=None, extension=BROKEN)
    script = (
        LOAD_MODULE
        + """
try:
    import torchaudio
except OSError:
    print("failed")
cure.make_importable()
import torchaudio
"""
    )
    assert run(script, tmp_path, packages).stdout == "failed\n"


def test_a_gpu_build_of_torch_is_left_alone(tmp_path):
    broken = fake_packages(tmp_path / "broken", cuda="13.0", extension=BROKEN)
    script = LOAD_MODULE + "cure.make_importable()\nimport torchaudio"
    assert "libc10_cuda" in run(script, tmp_path, broken, check=False).stderr
    working = fake_packages(tmp_path / "working", cuda="13.0", extension=WORKING)
    script += "\nassert torchaudio.functional.forced_align() == 'aligned'"
    run(script, tmp_path, working)


def test_an_extension_that_loads_is_used(tmp_path):
    packages = fake_packages(tmp_path, cuda=None, extension=WORKING)
    run(
        LOAD_MODULE
        + "cure.make_importable()\nimport torchaudio\nassert torchaudio.functional.forced_align() == 'aligned'",
        tmp_path,
        packages,
    )


def test_it_imports_nothing_and_hooks_once(tmp_path):
    packages = fake_packages(tmp_path, cuda=None, extension=BROKEN)
    script = (
        LOAD_MODULE
        + """
import sys
before = len(sys.meta_path)
cure.make_importable()
spec.loader.exec_module(cure)  # as the copy beside a checkpoint is
cure.make_importable()
assert len(sys.meta_path) == before + 1
assert not {"torch", "torchaudio"} & set(sys.modules)
"""
    )
    run(script, tmp_path, packages)


def test_libraries_are_renamed_and_restored(tmp_path, monkeypatch):
    names = ["_torchaudio.abi3.so", "libtorchaudio.abi3.so"]
    for name in names:
        (tmp_path / name).write_text("not a library")
    (tmp_path / "__init__.py").touch()
    renamed = torchaudio_cpu.disable_libraries(tmp_path)
    assert [path.name for path in renamed] == [f"{name}.disabled" for name in names]
    assert not list(tmp_path.glob("*.so"))
    assert torchaudio_cpu.disable_libraries(tmp_path) == []
    assert [path.name for path in torchaudio_cpu.disable_libraries(tmp_path, restore=True)] == names
    monkeypatch.setattr("torch.version.cuda", "13.0")
    with pytest.raises(RuntimeError, match="left alone"):
        torchaudio_cpu.disable_libraries(tmp_path)
    assert len(list(tmp_path.glob("*.so"))) == 2


def test_command_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "_torchaudio.abi3.so").write_text("not a library")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(torchaudio_cpu.importlib.util, "find_spec", lambda name: spec)
    assert torchaudio_cpu.main([]) == 0
    assert "_torchaudio.abi3.so.disabled" in capsys.readouterr().out
    assert torchaudio_cpu.main([]) == 0
    assert capsys.readouterr().out == "nothing to do\n"
    assert torchaudio_cpu.main(["--restore"]) == 0
    assert (tmp_path / "lib" / "_torchaudio.abi3.so").is_file()
    monkeypatch.setattr("torch.version.cuda", "13.0")
    assert torchaudio_cpu.main([]) == 1


USES = """
from transformers import AutoProcessor, ProcessorMixin, pipeline
import importlib.util
if importlib.util.find_spec("torchaudio"):
    import torch, torchaudio
    assert torchaudio.transforms.MFCC(16000, melkwargs={"n_mels": 40}, n_mfcc=13)(torch.ones(1, 16000)).shape == (1, 13, 81)
"""


@pytest.mark.slow
def test_package_before_transformers(tmp_path):
    run("import modeling_tacfn\n" + USES, tmp_path, ROOT)


@pytest.mark.slow
def test_transformers_before_package(tmp_path):
    script = """
import transformers
try:
    from transformers import AutoProcessor
except (OSError, ImportError) as error:
    print("broken")
import modeling_tacfn
"""
    run(script + USES, tmp_path, ROOT)


@pytest.mark.slow
def test_without_torchaudio(tmp_path):
    packages = tmp_path / "packages"
    packages.mkdir()
    for folder in site.getsitepackages():
        for entry in Path(folder).iterdir():
            if not entry.name.startswith("torchaudio"):
                (packages / entry.name).symlink_to(entry)
    script = f"""
import sys
sys.path += [{str(packages)!r}, {str(ROOT)!r}]
import importlib.util
assert importlib.util.find_spec("torchaudio") is None
import numpy as np
import modeling_tacfn
from modeling_tacfn.feature_extraction_tacfn import TacfnFeatureExtractor
noise = np.random.default_rng(0).normal(0, 0.1, 4410).astype(np.float32)
assert TacfnFeatureExtractor()(noise, 44100)["input_features"].shape == (1, 9, 13)
assert TacfnFeatureExtractor()(noise, 44100, device="cpu", return_tensors="pt")["input_features"].shape == (1, 9, 13)
try:
    TacfnFeatureExtractor(backend="torchaudio")(noise, 44100)
except ImportError as error:
    assert "install it" in str(error), error
else:
    raise SystemExit("expected an ImportError")
"""
    run(script + USES, tmp_path, None, "-S")


@pytest.mark.slow
def test_disk_cure_for_processes_without_the_package(tmp_path):
    source = Path(importlib.util.find_spec("torchaudio").origin).parent
    copy = tmp_path / "torchaudio"
    copy.mkdir()
    for entry in source.iterdir():
        if entry.name != "lib":
            (copy / entry.name).symlink_to(entry)
    (copy / "lib").mkdir()
    for entry in (source / "lib").iterdir():
        (copy / "lib" / entry.name).symlink_to(entry)
    if "OSError" not in run("import torchaudio", tmp_path, tmp_path, check=False).stderr:
        pytest.skip("the installed torchaudio works with the installed torch")
    assert run(USES, tmp_path, tmp_path, check=False).returncode != 0
    torchaudio_cpu.disable_libraries(copy / "lib")
    run(USES, tmp_path, tmp_path)
