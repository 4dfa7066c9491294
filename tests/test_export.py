"""Exported networks answer as the networks they were made of, wherever a network can be given, or are not there."""

import copy
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import test_baselines
import torch
from media_samples import numbered_frames, tone, write_mp4, write_sound
from tiny_models import build, clip, collate, takes_features
from transformers import AutoModel, pipeline

from modeling_tacfn import (
    ExportedModel,
    TacfnFeatureExtractor,
    TacfnImageProcessor,
    TacfnModel,
    TacfnProcessor,
    export,
    exported_model,
)
from modeling_tacfn.export import export_network, input_shapes
from modeling_tacfn.export_parity import TOLERANCE, differences
from modeling_tacfn.exported_model import FILES, RUNTIME_CHOICES
from modeling_tacfn.pipeline_tacfn import TASK
from modeling_tacfn.prediction import load, predict
from tacfn import EXPORT_FORMATS, RUNTIMES, main


for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
    pytest.importorskip(package, reason=f"{package} of the extra `export` is not installed")

# An export takes seconds.
pytestmark = pytest.mark.slow
RATE = 22050
ROOT = Path(__file__).resolve().parents[1]
# One small network of each form, in one format each; OpenVINO reads both.
FORMATS = {"audio_video": "onnx", "features": "openvino"}
# An export takes longer with every layer: as few as keep what is in the graph at all.
FEW_LAYERS = {"num_hidden_layers": 1}
FEW_VIDEO_LAYERS = FEW_LAYERS | {"video_widths": (8, 16), "video_depths": (1, 1)}
TWO_FEATURES = FEW_LAYERS | {"feature_sizes": {"text": 12, "units": 7}, "spectrogram_features": ()}
SMALL = {"audio_video": FEW_VIDEO_LAYERS, "features": FEW_LAYERS}
every_form = pytest.mark.parametrize("name", ["audio_video", "features"])
# Of each network what differs most in its graph.
OTHERS = {
    "audio_video_both_ways": FEW_VIDEO_LAYERS,
    "features_two_modalities": TWO_FEATURES,
    "cfn_sr": FEW_VIDEO_LAYERS,
    "avt_ca": {"video_stage_channels": (8,), "video_stage_depths": (2,)},
    "avt_ca_released": {"video_stage_channels": (8,), "video_stage_depths": (2,)},
}
BASELINES = {
    ("features", "mult"): TWO_FEATURES,
    ("features", "msaf"): FEW_LAYERS,
    ("features", "mcbp"): TWO_FEATURES,
    ("audio_video", "cfn_sr"): FEW_VIDEO_LAYERS,
}


def save(model, name: str, folder: Path) -> Path:
    sound = {"sampling_rate": RATE, "feature_size": getattr(model.config, "audio_coefficients", 13)}
    if takes_features(name):
        sound = sound | {"feature_type": "log_mel", "feature_size": 20, "num_mel_bins": 20}
    pictures = TacfnImageProcessor(num_frames=4, size={"height": 48, "width": 48}, do_face_crop=False)
    static = {"static_features": ["units"], "do_video": False} if takes_features(name) else {}
    model.save_pretrained(folder)
    TacfnProcessor(TacfnFeatureExtractor(**sound), pictures, **static).save_pretrained(folder)
    return folder


class Folders(dict):
    """By name folders of trained networks with an exported one in each, made when they are asked for."""

    def __init__(self, factory):
        super().__init__()
        self.factory = factory

    def __missing__(self, name: str) -> Path:
        folder = save(build(name, **SMALL[name]), name, self.factory.mktemp(name))
        export_network(folder, FORMATS[name])
        self[name] = folder
        return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Folders:
    return Folders(tmp_path_factory)


def pair(folders: Folders, name: str) -> tuple:
    """A network and what was exported of it."""
    return load(folders[name], runtime="torch")[0], AutoModel.from_pretrained(folders[name] / FORMATS[name])


@pytest.fixture
def onnx_folder(folders, tmp_path) -> Path:
    """A copy of an exported network, to be damaged."""
    return shutil.copytree(folders["audio_video"] / "onnx", tmp_path / "exported")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("recordings")
    write_mp4(folder / "clip.mp4", numbered_frames(20), tone(0.8, RATE), RATE)
    write_mp4(folder / "mute.mp4", 255 - numbered_frames(9))
    write_sound(folder / "speech.wav", tone(0.5, RATE, 250), RATE)
    return [str(folder / name) for name in ("clip.mp4", "mute.mp4", "speech.wav")]


def clips_of(name: str) -> list[dict]:
    return [
        clip(name, length, frames, seed) for seed, (length, frames) in enumerate([(1, 1), (90, 2), (33, 20), (7, 5)])
    ]


def check_law(name: str, model, exported) -> None:
    """The exported network on padded batches against the network on each clip alone, whatever is left out."""
    features = getattr(model.config, "feature_sizes", None)
    clips = [{key: item[key] for key in features or item} for item in clips_of(name)]
    for absent in (None, *clips[0]):
        kept = [{key: value for key, value in item.items() if key != absent} for item in clips]
        with torch.no_grad():
            alone = [call(model, name, [item]) for item in kept]
        logits = torch.cat([output.logits for output in alone])
        assert logits.std(0).max() > 1e-4, "the clips must differ for this test to mean anything"
        for extra in (0, 37):
            output = call(exported, name, kept, extra)
            torch.testing.assert_close(output.logits, logits, atol=1e-5, rtol=0)
            assert set(output.weight_vectors) == set(alone[0].weight_vectors)
            for target, vectors in output.weight_vectors.items():
                for row, item in enumerate(alone):
                    real = item.weight_vectors[target][0]
                    torch.testing.assert_close(vectors[row, : len(real)], real, atol=1e-5, rtol=0)


def call(model, name: str, clips: list[dict], extra: int = 0):
    if takes_features(name):
        return model(**collate(name, clips, extra))
    keys = {"input_features": "audio_mask", "pixel_values_videos": "video_mask"}
    missing = [key for key in keys if key not in clips[0]]
    # `collate` makes both masks, so what is left out lends its place to nothing.
    stand_ins = [item | {key: torch.zeros(1, 1) for key in missing} for item in clips]
    batch = collate(name, stand_ins, extra)
    return model(**{key: value for key, value in batch.items() if key not in (*missing, *(keys[k] for k in missing))})


@every_form
def test_the_law_holds_in_the_exported_graph(name, folders):
    check_law(name, *pair(folders, name))


@every_form
def test_masks_may_be_left_out_and_inputs_stay_as_they_are(name, folders):
    _, exported = pair(folders, name)
    batch = collate(name, [clip(name)])
    before = copy.deepcopy(batch)
    without = {key: value for key, value in batch.items() if "mask" not in key}
    torch.testing.assert_close(exported(**without).logits, exported(**batch).logits, atol=1e-6, rtol=0)
    torch.testing.assert_close(batch, before, atol=0, rtol=0)


def test_units_that_were_not_measured_are_masked_units(folders):
    model, exported = pair(folders, "features")
    batch = collate("features", clips_of("features"))
    batch["feature_masks"]["units"] = torch.from_numpy(np.random.default_rng(0).random((4, 7)) > 0.4)
    with torch.no_grad():
        torch.testing.assert_close(exported(**batch).logits, model(**batch).logits, atol=1e-5, rtol=0)


def test_sound_may_come_under_either_name(folders):
    _, exported = pair(folders, "features")
    batch = collate("features", clips_of("features"))
    named = exported(**batch).logits
    values, masks = batch["features"].pop("audio"), batch["feature_masks"].pop("audio")
    torch.testing.assert_close(exported(input_features=values, audio_mask=masks, **batch).logits, named)


@every_form
def test_what_the_folder_holds(name, folders):
    folder = folders[name] / FORMATS[name]
    files = {"config.json", "processor_config.json", "export.json", *FILES[FORMATS[name]]}
    assert {file.name for file in folder.iterdir()} == files
    report = json.loads((folder / "export.json").read_text())
    assert report["format"] == FORMATS[name]
    assert report["versions"]["torch"]
    assert report["bytes"] == {file: (folder / file).stat().st_size for file in FILES[FORMATS[name]]}
    assert report["largest_difference"] == max(report["differences"].values()) < TOLERANCE
    assert {f"without {key}" for key in report["input_shapes"]} < set(report["differences"])
    network = load(folders[name])[0].config
    assert AutoModel.from_pretrained(folder).config.to_diff_dict().keys() <= network.to_dict().keys()
    assert AutoModel.from_pretrained(folder).config.id2label == network.id2label
    for file in folder.iterdir():
        content = file.read_bytes()
        assert not any(str(path).encode() in content for path in (folders[name], Path(export.__file__).parents[1]))


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_the_pipeline_answers_as_with_the_network(runtime, folders, recordings):
    folder = folders["audio_video"]
    network = pipeline(TASK, model=str(folder), device="cpu", top_k=None, model_kwargs={"runtime": "torch"})
    assert isinstance(network.model, TacfnModel)
    wanted = network(recordings)
    pipe = pipeline(TASK, model=str(folder / "onnx"), device="cpu", top_k=None, model_kwargs={"runtime": runtime})
    assert (type(pipe.model), pipe.model.runtime) == (ExportedModel, runtime)
    for answers in (pipe(recordings), pipe(recordings, batch_size=3)):
        for answer, other in zip(answers, wanted, strict=True):
            assert {item["label"]: item["score"] for item in answer} == pytest.approx(
                {item["label"]: item["score"] for item in other}, abs=1e-5
            )


def test_what_was_exported_is_taken_where_it_is_faster(folders, tmp_path, monkeypatch):
    folder = shutil.copytree(folders["audio_video"], tmp_path / "network")
    assert load(folder)[0].runtime == "openvino"
    assert pipeline(TASK, model=str(folder), device="cpu").model.runtime == "openvino"
    monkeypatch.setattr(exported_model, "find_spec", lambda package: None)
    assert isinstance(load(folder)[0], TacfnModel)
    assert isinstance(pipeline(TASK, model=str(folder), device="cpu").model, TacfnModel)


def test_what_was_exported_of_other_weights_is_not_taken(folders, tmp_path):
    """As after another training into the same folder."""
    folder = shutil.copytree(folders["audio_video"], tmp_path / "network")
    model = AutoModel.from_pretrained(folder)
    model.classifier.bias.data += 1
    model.save_pretrained(folder)
    assert isinstance(load(folder)[0], TacfnModel)
    assert isinstance(pipeline(TASK, model=str(folder), device="cpu").model, TacfnModel)


def test_a_saved_pipeline_is_an_exported_network(folders, recordings, tmp_path):
    pipe = pipeline(TASK, model=str(folders["audio_video"] / "onnx"), device="cpu")
    pipe.save_pretrained(tmp_path)
    assert pipeline(TASK, model=str(tmp_path), device="cpu")(recordings[0]) == pipe(recordings[0])


def test_tacfn_predict_runs_what_lies_beside_the_weights(folders, recordings, tmp_path, capsys):
    arguments = ["predict", recordings[0], "--model", str(folders["audio_video"]), "--json"]
    assert main(arguments) == 0
    wanted = json.loads(capsys.readouterr().out)["scores"]
    for runtime in RUNTIME_CHOICES:
        assert main([*arguments, "--runtime", runtime]) == 0
        assert json.loads(capsys.readouterr().out)["scores"] == pytest.approx(wanted, abs=1e-5)


def test_the_picture_of_an_exported_answer_shows_its_weights(folders, recordings):
    model, processor = load(folders["audio_video"], runtime="onnx")
    answer = predict(model, processor, video=recordings[0])
    network = predict(*load(folders["audio_video"], runtime="torch"), video=recordings[0])
    np.testing.assert_allclose(answer.weight_vectors["video"], network.weight_vectors["video"], atol=1e-5)


def test_tacfn_info_says_what_it_is(folders, capsys):
    assert main(["info", str(folders["audio_video"]), "--json"]) == 0
    network = json.loads(capsys.readouterr().out)
    assert main(["info", str(folders["audio_video"] / "onnx"), "--json"]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert exported.pop("exported") == "onnx"
    assert exported == {key: value for key, value in network.items() if key != "parts"}


def test_the_command_says_where_it_is_and_how_close(folders, tmp_path, monkeypatch, capsys):
    source = folders["audio_video"] / "onnx" / "model.onnx"
    outputs = list(AutoModel.from_pretrained(source.parent).export.output_names)
    monkeypatch.setattr(export, "write_onnx", lambda model, shapes, path, name: shutil.copy(source, path) and outputs)
    output = tmp_path / "new" / "exported"
    arguments = ["export", str(folders["audio_video"]), "--format", "onnx", "--output", str(output)]
    assert main(arguments) == 0
    assert "logits differ by at most" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "expected a name that is free" in capsys.readouterr().err
    assert main([*arguments[:-1], str(tmp_path / "other"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((output / "export.json").read_text())


@pytest.mark.parametrize("change", [1e-3, float("nan")])
def test_a_file_that_answers_otherwise_is_not_kept(change, folders, tmp_path, monkeypatch, capsys):
    """The network is changed after its export, as an exporter that errs would change the file."""
    source = folders["audio_video"] / "onnx" / "model.onnx"
    folder = shutil.copytree(folders["audio_video"], tmp_path / "network", ignore=shutil.ignore_patterns("onnx"))
    model = AutoModel.from_pretrained(folder)
    model.classifier.bias.data[0] += change
    model.save_pretrained(folder)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(
        export, "write_onnx", lambda model, shapes, path, name: shutil.copy(source, path) and ["logits"]
    )
    assert main(["export", str(folder), "--format", "onnx"]) == 1
    error = capsys.readouterr().err
    assert "expected the onnx file to answer as the network does" in error
    assert "Nothing was kept" in error
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("ignored", ["audio_mask", "video_mask"])
def test_the_comparison_sees_a_graph_that_lets_padding_in(ignored, folders):
    model, processor = load(folders["audio_video"], runtime="torch")

    def leaking(**arguments):
        return model(**{key: value for key, value in arguments.items() if key != ignored})

    shapes = input_shapes(model.config, processor)
    found = differences(model, leaking, shapes)
    assert found["padded batch"] > TOLERANCE
    assert max(differences(model, model, shapes).values()) < TOLERANCE / 10


def remove(name: str):
    return lambda folder: (folder / name).unlink()


def change_config(**values):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("model.onnx"), "model.onnx"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"words" * 99), "it cannot be read"),
        (change_config(network=None), "fits the config.json beside it"),
        (change_config(input_shapes={"features.text": ["batch", "text_steps", 3]}), "fits the config.json beside it"),
        (change_config(file_format="tflite"), "`file_format` must be one of onnx, openvino"),
        (change_config(file_format="openvino"), "model.xml"),
    ],
    ids=["no file", "garbage", "no network", "other inputs", "other format", "wrong format"],
)
def test_a_damaged_folder_is_one_line_and_status_1(damage, message, onnx_folder, recordings, capsys):
    damage(onnx_folder)
    assert main(["predict", recordings[0], "--model", str(onnx_folder)]) == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("tacfn: ")
    assert streams.err.count("\n") == 1
    assert message in streams.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "{}/onnx", "--runtime", "torch"], "this is a network exported as onnx"),
        (["--model", "{}", "--runtime", "onnx"], None),
        (["--model", "{}/onnx", "--device", "cuda"], "cannot be used here"),
    ],
)
def test_what_cannot_run_there(arguments, message, folders, recordings, capsys):
    status = main(["predict", recordings[0], *(text.format(folders["audio_video"]) for text in arguments)])
    assert status == (0 if message is None else 1)
    assert (message or "") in capsys.readouterr().err


def test_weights_alone_have_no_other_runtime(folders, recordings, tmp_path, capsys):
    folder = shutil.copytree(folders["audio_video"], tmp_path / "network", ignore=shutil.ignore_patterns("onnx"))
    assert main(["predict", recordings[0], "--model", str(folder), "--runtime", "openvino"]) == 1
    assert f"tacfn export {folder} --format openvino" in capsys.readouterr().err


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_runtime_that_is_not_installed_is_named(runtime, folders, recordings, monkeypatch, capsys):
    package = {"onnx": "onnxruntime"}.get(runtime, runtime)
    monkeypatch.setitem(sys.modules, package, None)
    arguments = ["predict", recordings[0], "--model", str(folders["audio_video"] / "onnx"), "--runtime", runtime]
    assert main(arguments) == 1
    assert f"needs {package}: `pip install {package}`" in capsys.readouterr().err


def test_an_exporter_that_is_not_installed_is_named(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "_version", lambda package: None if package == "onnxscript" else "1")
    arguments = ["export", str(folders["audio_video"]), "--format", "onnx", "--output", str(tmp_path / "new")]
    assert main(arguments) == 1
    assert "needs onnxscript: `pip install onnxscript`" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_inputs_that_do_not_fit_are_refused(folders):
    exported = AutoModel.from_pretrained(folders["audio_video"] / "onnx")
    for arguments, message in (
        ({}, "takes input_features, pixel_values_videos; got none of them"),
        ({"features": {"text": torch.zeros(1, 2, 3)}}, "got features.text"),
        ({"input_features": torch.zeros(1, 9, 12)}, r"must be \(batch, audio_steps, 13\), got \(1, 9, 12\)"),
        ({"pixel_values_videos": torch.zeros(1, 3, 48, 48)}, "must be .batch, frames, 3, 48, 48"),
    ):
        with pytest.raises(ValueError, match=message):
            exported(**arguments)
    with pytest.raises(ValueError, match="single precision"):
        AutoModel.from_pretrained(folders["audio_video"] / "onnx", dtype=torch.float16)


def test_the_command_offers_what_there_is():
    assert tuple(FILES) == EXPORT_FORMATS
    assert RUNTIME_CHOICES == RUNTIMES


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_network(name, tmp_path):
    model = build(name, **OTHERS[name])
    folder = save(model, name, tmp_path)
    export_network(folder, "onnx")
    for runtime in ("onnx", "openvino"):
        check_law(name, model, AutoModel.from_pretrained(folder / "onnx", runtime=runtime))


@pytest.mark.parametrize(("form", "method"), BASELINES)
def test_every_baseline(form, method, tmp_path):
    model = test_baselines.build(form, method, **BASELINES[form, method])
    folder = save(model, form, tmp_path)
    if method == "mcbp":
        with pytest.raises(ValueError, match="torch cannot write this network .* as ONNX"):
            export_network(folder, "onnx")
        assert not (folder / "onnx").exists()
        return
    export_network(folder, "onnx")
    check_law(form, model, AutoModel.from_pretrained(folder / "onnx"))
