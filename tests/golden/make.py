"""
Make the golden folders beside this file: a tiny network of each kind with weights from a seed, and what it answers.

    python tests/golden/make.py

They pin what a saved folder means: a later version must load them and give the same answers. Make them again only when
answers are meant to change, and say so in the changelog.
"""

import shutil
import sys
from pathlib import Path

import torch
import transformers


HERE = Path(__file__).resolve().parent
# The tiny configurations of the tests; run from anywhere.
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from golden_inputs import direct_inputs, processed_inputs  # noqa: E402
from tiny_models import AUDIO_VIDEO, AVT_CA, FEATURES, randomize_norms  # noqa: E402

import modeling_tacfn  # noqa: E402
from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor  # noqa: E402
from modeling_tacfn.files import save_json_atomic  # noqa: E402


SEED = 20261
SOUND = {"sampling_rate": 8000, "n_fft": 512, "hop_length": 256, "num_mel_bins": 20}
PICTURES = {"num_frames": 4, "size": {"height": 48, "width": 48}, "do_face_crop": False}
NETWORKS = {
    "tacfn_audio_video": (modeling_tacfn.TacfnModel, AUDIO_VIDEO),
    "tacfn_features": (
        modeling_tacfn.TacfnModel,
        FEATURES | {"weight_scale": "mean_one", "readout": "statistics", "modality_loss_weight": 0.3},
    ),
    "cfn_sr": (modeling_tacfn.CfnSrModel, AUDIO_VIDEO),
    "avt_ca": (modeling_tacfn.AvtCaModel, AVT_CA),
    "baseline_mmtm": (modeling_tacfn.BaselineModel, AUDIO_VIDEO | {"fusion": "mmtm"}),
}


def make_processor(config) -> TacfnProcessor:
    sizes = getattr(config, "feature_sizes", None)
    if sizes:
        sound = TacfnFeatureExtractor(feature_type="log_mel", feature_size=sizes["audio"], **SOUND)
        names = {name: [f"{name}_{index}" for index in range(sizes[name])] for name in ("units", "text")}
        return TacfnProcessor(sound, feature_columns=names, static_features=["units"], do_video=False)
    sound = TacfnFeatureExtractor(feature_size=config.audio_coefficients, **SOUND)
    return TacfnProcessor(sound, TacfnImageProcessor(**PICTURES))


def make(name: str, root: Path = HERE) -> Path:
    """Make one of the folders."""
    model_class, fields = NETWORKS[name]
    torch.manual_seed(SEED)
    model = model_class(model_class.config_class(**fields)).eval()
    randomize_norms(model)
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    processor = make_processor(model.config)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    with torch.no_grad():
        answers = {
            "direct": model(**direct_inputs(model.config)).logits,
            "processed": model(**processed_inputs(processor)).logits,
        }
    expected = {
        "modeling_tacfn": modeling_tacfn.__version__,
        "transformers": transformers.__version__,
        "seed": SEED,
        "logits": {kind: logits.tolist() for kind, logits in answers.items()},
    }
    save_json_atomic(folder / "expected.json", expected)
    return folder


def forget_auto_classes() -> None:
    """Save without the code: the installed package is what is tested, and copies of it would age here."""
    classes = [model_class for model_class, _ in NETWORKS.values()]
    classes += [model_class.config_class for model_class in classes]
    for saved in (*classes, TacfnProcessor, TacfnFeatureExtractor, TacfnImageProcessor):
        saved._auto_class = None


if __name__ == "__main__":
    forget_auto_classes()
    for name in NETWORKS:
        print(make(name).relative_to(HERE))
