"""What a saved folder holds, and that it loads by the auto classes with this package and without it."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from media_samples import numbered_frames, tone, write_mp4
from tiny_models import build, clip, collate, takes_features

import modeling_tacfn
from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor


PACKAGE = Path(modeling_tacfn.__file__).parent
SHARED = {
    "configuration_av_common.py",
    "faces.py",
    "feature_arrays.py",
    "feature_extraction_tacfn.py",
    "feature_tables.py",
    "image_processing_tacfn.py",
    "media.py",
    "media_decode.py",
    "media_scan.py",
    "modeling_av_attention.py",
    "modeling_av_common.py",
    "processing_tacfn.py",
    "prosody.py",
    "speaker_file.py",
    "torchaudio_cpu.py",
}
# Each network, its classes' prefix and the encoders that are shipped with it.
NETWORKS = {
    "tacfn": ("Tacfn", {"modeling_av_audio.py", "modeling_av_resnext.py"}),
    "cfn_sr": ("CfnSr", {"modeling_av_audio.py", "modeling_av_resnext.py"}),
    "avt_ca": ("AvtCa", {"modeling_av_efficientface.py"}),
}
OWN = {
    network: {f"configuration_{network}.py", f"modeling_{network}.py"} | encoders
    for network, (_, encoders) in NETWORKS.items()
}
SHIPPED = SHARED.union(*OWN.values())
WEIGHTS_AND_SETTINGS = {"config.json", "model.safetensors", "processor_config.json"}
AUTO_CLASSES = ["AutoModel", "AutoModelForAudioClassification", "AutoModelForVideoClassification"]

LOAD = """
import importlib.abc, importlib.util, sys
import numpy as np
import torch

has_package, folders = sys.argv[1] == "with package", sys.argv[2:]
if not has_package:
    class Absent(importlib.abc.MetaPathFinder):
        def find_spec(self, fullname, path=None, target=None):
            if fullname.split(".")[0] in ("modeling_tacfn", "dataset_scripts"):
                raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
    sys.meta_path.insert(0, Absent())
    # As documented: beside a CPU build of torch, the shipped file makes torchaudio importable.
    spec = importlib.util.spec_from_file_location("torchaudio_cpu", f"{folders[0]}/torchaudio_cpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make_importable()
else:
    import modeling_tacfn
import transformers

trust = {"trust_remote_code": True} if not has_package else {}
home = "transformers_modules." if not has_package else "modeling_tacfn."
for folder in folders:
    saved = torch.load(f"{folder}.inputs.pt")
    for name in ("AutoModel", "AutoModelForAudioClassification", "AutoModelForVideoClassification"):
        model = getattr(transformers, name).from_pretrained(folder, **trust).eval()
        with torch.no_grad():
            assert torch.equal(model(**saved["inputs"]).logits, saved["logits"]), (folder, name)
        assert type(model).__module__.startswith(home), type(model)
    for name in ("AutoConfig", "AutoFeatureExtractor", "AutoImageProcessor", "AutoProcessor"):
        part = getattr(transformers, name).from_pretrained(folder, **trust)
        assert type(part).__module__.startswith(home), type(part)
    read = part(videos=f"{folder}.mp4") if part.do_video else part(audio=f"{folder}.mp4")
    for key, value in saved["read"].items():
        assert torch.equal(read[key], value), (folder, key)
    model.save_pretrained(f"{folder}_again")
    part.save_pretrained(f"{folder}_again")
if not has_package:
    assert "modeling_tacfn" not in sys.modules
print("loaded")
"""


def contents(folder: Path) -> set[str]:
    """What a folder of its network must hold."""
    network = json.loads((folder / "config.json").read_text())["model_type"]
    return WEIGHTS_AND_SETTINGS | SHARED | OWN[network]


EXAMPLES = ("audio_video", "features", "cfn_sr_released", "avt_ca")


def save(name: str, root: Path) -> Path:
    """A folder with a model and its processor, and beside it a clip, inputs and what the network says of them."""
    folder, model = root / name, build(name)
    image_processor = TacfnImageProcessor(num_frames=4, size={"height": 32, "width": 32}, do_face_crop=False)
    processor = TacfnProcessor(
        TacfnFeatureExtractor(sampling_rate=16000, feature_size=getattr(model.config, "audio_coefficients", 13)),
        image_processor,
        do_video=not takes_features(name),
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    path = write_mp4(root / f"{name}.mp4", numbered_frames(10), tone(0.4))
    read = processor(videos=path) if processor.do_video else processor(audio=path)
    inputs = collate(name, [clip(name, 30, 4), clip(name, 11, 2, seed=1)])
    with torch.no_grad():
        logits = model(**inputs).logits
    torch.save({"inputs": inputs, "logits": logits, "read": dict(read)}, root / f"{name}.inputs.pt")
    return folder


def load(folders: list[Path], how: str) -> None:
    """Load in a process of its own, in a folder from which the package cannot be seen unless it is asked for."""
    root = folders[0].parent
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_MODULES_CACHE": str(root / "modules"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    if how == "with package":
        environment["PYTHONPATH"] = str(PACKAGE.parent)
    # Bit for bit needs the same number of threads.
    script = f"import torch; torch.set_num_threads({torch.get_num_threads()})\n" + LOAD
    command = [sys.executable, "-c", script, how, *map(str, folders)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("loaded")


def check_loads(folders: list[Path], how: str) -> list[Path]:
    """They load, and what is saved of them then is the same again; gives the copies."""
    load(folders, how)
    copies = [folder.with_name(f"{folder.name}_again") for folder in folders]
    for folder, copy in zip(folders, copies, strict=True):
        assert {path.name for path in copy.iterdir()} == contents(folder)
        configs = [json.loads((path / "config.json").read_text()) for path in (folder, copy)]
        assert configs[1] == configs[0]
        for ending in (".inputs.pt", ".mp4"):
            shutil.copy(f"{folder}{ending}", f"{copy}{ending}")
    return copies


@pytest.mark.slow
def test_every_auto_class_loads_it_bit_for_bit(tmp_path):
    check_loads([save("audio_video", tmp_path)], "without package")


# To import torch and transformers takes longer than to load a network: one process loads them all.
@pytest.mark.slow
@pytest.mark.parametrize("how", ["with package", "without package"])
def test_every_auto_class_loads_every_network_and_its_copy(how, tmp_path):
    copies = check_loads([save(name, tmp_path) for name in EXAMPLES], how)
    if how == "without package":
        load(copies, how)


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_shipped(name, tmp_path):
    saved = save(name, tmp_path)
    assert {path.name for path in saved.iterdir()} == contents(saved)
    config = json.loads((saved / "config.json").read_text())
    prefix, _ = NETWORKS[config["model_type"]]
    assert config["architectures"] == [f"{prefix}Model"]
    assert config["auto_map"] == {
        "AutoConfig": f"configuration_{config['model_type']}.{prefix}Config",
        **dict.fromkeys(AUTO_CLASSES, f"modeling_{config['model_type']}.{prefix}Model"),
    }


def siblings(path: Path) -> set[str]:
    """Files of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1, f"{path.name} imports from above itself"
            assert node.module, f"{path.name}: `from . import` is not shipped"
            assert "." not in node.module, f"{path.name} imports from a folder below"
            found.add(f"{node.module}.py")
        elif isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] not in ("modeling_tacfn", "dataset_scripts"), path.name
        elif isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            assert not names & {"modeling_tacfn", "dataset_scripts"}, path.name
    return found


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_file_needs_only_shipped_files(name):
    assert siblings(PACKAGE / name) <= SHIPPED


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_file_carries_its_licence(name):
    lines = (PACKAGE / name).read_text(encoding="utf-8").splitlines()
    reference = (PACKAGE / "modeling_tacfn.py").read_text(encoding="utf-8").splitlines()[:13]
    assert "Licensed under the Apache License" in reference[2]
    assert lines[:13] == reference


def test_imports_point_one_way():
    """Configuration, shared layers, one network: nothing imports what is above it, and no network imports another."""
    shared = {path.name for path in PACKAGE.glob("modeling_av_*.py")}
    networks = {path.name for path in PACKAGE.glob("modeling_*.py")} - shared
    assert networks == {f"modeling_{network}.py" for network in NETWORKS}
    assert shared <= SHIPPED
    for path in PACKAGE.glob("configuration_*.py"):
        assert siblings(path) <= {"configuration_av_common.py"} - {path.name}
    for name in shared:
        assert not siblings(PACKAGE / name) & networks
    for name in networks:
        own = name.replace("modeling_", "configuration_")
        assert siblings(PACKAGE / name) <= shared | {own}
    for name in SHARED - shared:
        assert not siblings(PACKAGE / name) & {f"configuration_{network}.py" for network in NETWORKS}
    for name in SHIPPED - networks - shared:
        assert not siblings(PACKAGE / name) & (networks | shared)


def test_a_class_that_is_not_shipped_names_itself_nowhere(tmp_path):
    class Other(modeling_tacfn.TacfnModel):
        _auto_class = None

    Other(build("features").config).save_pretrained(tmp_path)
    assert "AutoModel" not in json.loads((tmp_path / "config.json").read_text()).get("auto_map", {})
    files = sorted(path.name for path in tmp_path.glob("*.py"))
    assert files == ["configuration_av_common.py", "configuration_tacfn.py"]
