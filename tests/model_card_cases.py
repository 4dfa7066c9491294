"""Folders as training leaves them, of every network and task, with weights that nobody trained and made-up answers."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
from tiny_models import AUDIO_VIDEO, AVT_CA, FEATURES

import modeling_tacfn
from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor
from modeling_tacfn.files import save_json_atomic
from modeling_tacfn.results import environment_record, make_results
from modeling_tacfn.tasks import TASKS


ROOT = Path(__file__).resolve().parents[1]
PLAIN, NORMALISED = "plain", "speaker-normalised"
EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
WORDS = FEATURES | {
    "feature_sizes": {"text": 12, "audio": 6, "vision": 5},
    "static_features": (),
    "spectrogram_features": (),
}
SOUND = {"sampling_rate": 8000, "n_fft": 512, "hop_length": 256, "num_mel_bins": 20}
SECRET = "/home/secret/person"


@dataclasses.dataclass
class Case:
    """A network as it was trained: its class and configuration, the corpus, and what the card must call the licence."""

    model: str
    config: dict
    corpus: str
    license: str
    protocol: str = PLAIN
    task: str = "emotion"
    labels: tuple = tuple(EMOTIONS)
    speakers: tuple | None = ("01", "02", "03", "04")
    network: str = "tacfn"


CASES = {
    "audio_video": Case("TacfnModel", AUDIO_VIDEO, "ravdess", "cc-by-nc-sa-4.0"),
    "features": Case("TacfnModel", FEATURES, "ravdess_au", "cc-by-nc-sa-4.0"),
    "normalised": Case("TacfnModel", FEATURES, "ravdess_au", "cc-by-nc-sa-4.0", NORMALISED),
    "cfn_sr": Case("CfnSrModel", AUDIO_VIDEO, "crema_d", "odbl", network="cfn_sr"),
    "avt_ca": Case(
        "AvtCaModel", AVT_CA, "iemocap", "other", speakers=("Ses01F", "Ses01M", "Ses02F"), network="avt_ca"
    ),
    "baseline": Case(
        "BaselineModel", AUDIO_VIDEO | {"fusion": "averaging"}, "synthetic", "apache-2.0", network="tacfn_baseline"
    ),
    "yes_no": Case(
        "TacfnModel", WORDS, "iemocap_words", "other", "published split", "yes_no", ("happy", "sad", "angry"), None
    ),
    "sentiment": Case(
        "TacfnModel", WORDS, "cmu_mosei", "other", PLAIN, "sentiment", ("sentiment",), ("v1", "v2", "v3")
    ),
    "own_folder": Case(
        "TacfnModel",
        AUDIO_VIDEO,
        "folder",
        "unknown",
        "random clips",
        labels=("calm", "an|gry"),
        speakers=("unknown-1", "unknown-2"),
    ),
    "learning_check": Case(
        "TacfnModel", AUDIO_VIDEO, "ravdess", "cc-by-nc-sa-4.0", "learning check", speakers=("05",)
    ),
}
EVALUATED = sorted(set(CASES) - {"learning_check"})


def made_up_runs(case: Case, seeds=(0,)) -> list[dict]:
    """Runs whose answers are right more often than not; fold and seed choose which."""
    speakers = case.speakers or (None, None)
    runs = []
    for seed in seeds:
        draw = np.random.default_rng(seed)
        rows = []
        for place, speaker in enumerate(speakers):
            for clip in range(4 * len(case.labels)):
                row = {"clip_id": f"{place}-{clip}", "speaker": speaker}
                if case.task == "emotion":
                    label, scores = clip % len(case.labels), draw.random(len(case.labels))
                    scores[label] += 0.8 - 0.2 * place
                    row |= {"label": label, "probabilities": (scores / scores.sum()).round(5).tolist()}
                elif case.task == "yes_no":
                    truth = (draw.random(len(case.labels)) > 0.6).astype(float)
                    row |= {"targets": truth.tolist(), "probabilities": draw.random(len(case.labels)).tolist()}
                else:
                    truth = float(draw.integers(-3, 4))
                    row |= {"targets": [truth], "estimate": [float(truth / 2 + draw.normal())]}
                rows.append(row)
        is_check = case.protocol == "learning check"
        sides = {"train": list(case.speakers or ()) if is_check else ["11", "12"], "validation": [], "test": []}
        sides["test"] = list(case.speakers or ())
        runs.append(
            {
                "fold": 0,
                "seed": seed,
                "num_parameters": 4321,
                "best_epoch": 6,
                "history": [
                    {"epoch": epoch, "train_loss": 2.0, "seconds": 1.25, "best": epoch == 6} for epoch in range(8)
                ],
                "splits": sides if case.speakers else {"train": [], "validation": [], "test": []},
                "clips": {"train": 77, "validation": 0, "test": len(rows)},
                "predictions": rows,
                "single_modality": {"audio only": rows[::-1]},
            }
        )
    return runs


def made_up_results(case: Case, runs: list[dict] | None = None, **details) -> dict:
    settings = {
        "dataset": case.corpus,
        "corpus": {"features": {"units": {"path": f"{SECRET}/openface"}}},
        "network": case.network,
        "model": {},
        "validation_speakers": 0,
        "epochs": 40,
        "learning_rate": 0.0173,
        "label_smoothing": 0.1,
        "init_video_encoder": f"{SECRET}/weights.pth",
        "augmentation": {"mixup": 0.37},
    }
    command = ["train.py", "--data_dir", f"{SECRET}/RAVDESS", f"--output_dir={SECRET}/run", "--folds", "~/folds.json"]
    facts = {"num_parameters": 4321, "settings": settings, "environment": environment_record(command)}
    name = "tacfn" if case.network == "tacfn" else case.network
    runs = made_up_runs(case) if runs is None else runs
    return make_results(name, case.corpus, case.labels, runs, case.protocol, task=case.task, **facts | details)


def make_folder(folder: Path, case: Case, results: dict | None = None) -> Path:
    """What training leaves, with weights that nobody trained."""
    model_class = getattr(modeling_tacfn, case.model)
    names = {"id2label": dict(enumerate(case.labels)), "problem_type": TASKS[case.task].problem_type}
    model = model_class(model_class.config_class(**case.config, **names))
    sizes = getattr(model.config, "feature_sizes", None) or {}
    if sizes and case.task == "emotion":
        sound = TacfnFeatureExtractor(feature_type="log_mel", feature_size=20, **SOUND)
        columns = {"units": [f"AU{index:02d}_r" for index in range(7)]}
        processor = TacfnProcessor(sound, feature_columns=columns, static_features=["units"], do_video=False)
        processor.is_speaker_normalized = case.protocol == NORMALISED
    elif sizes:
        processor = TacfnProcessor(do_audio=False, do_video=False)
    else:
        sound = TacfnFeatureExtractor(feature_size=model.config.audio_coefficients, **SOUND)
        pictures = TacfnImageProcessor(num_frames=4, size={"height": 48, "width": 48}, do_face_crop=False)
        processor = TacfnProcessor(sound, pictures)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "learning_curve.png").write_bytes(b"a picture")
    save_json_atomic(folder / "results.json", results or made_up_results(case))
    return folder


def results_of(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def sections_of(text: str) -> dict[str, str]:
    text = re.sub(r"```.*?```", "code", text, flags=re.DOTALL)
    parts = re.split(r"^(#{1,3} .+)$", text, flags=re.MULTILINE)
    return {title.lstrip("# "): body.strip() for title, body in zip(parts[1::2], parts[2::2], strict=True)}
