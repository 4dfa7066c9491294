"""Authors' checkpoints: every way in which they are saved, refused when they do not fit, never executed."""

import os
import pickle

import numpy as np
import pytest
import torch
from author_checkpoints import cfn_sr_shapes, made_up_weights, resnext_shapes
from tiny_models import CONFIGS, build, clip, collate, make_config
from transformers import AutoModel, AutoProcessor

import tacfn
from modeling_tacfn import CfnSrModel, TacfnProcessor
from modeling_tacfn.convert import AUTHORS_NETWORKS, convert_checkpoint, load_video_encoder, read_state_dict


TINY = CONFIGS["cfn_sr"]


@pytest.fixture
def weights():
    return made_up_weights(cfn_sr_shapes(make_config("cfn_sr")))


@pytest.fixture
def resnext_weights():
    fc = {"fc.weight": torch.zeros(400, 32), "fc.bias": torch.zeros(400)}
    return made_up_weights(resnext_shapes(make_config("cfn_sr"))) | fc


def saved(content, tmp_path, **options):
    torch.save(content, tmp_path / "authors.pth", **options)
    return tmp_path / "authors.pth"


def test_the_command_knows_every_network():
    assert set(tacfn.CONVERTIBLE) == set(AUTHORS_NETWORKS)


def test_round_trip_through_the_auto_classes(weights, tmp_path):
    model = convert_checkpoint(saved(weights, tmp_path), tmp_path / "model", **TINY)
    again = AutoModel.from_pretrained(tmp_path / "model").eval()
    assert type(again) is CfnSrModel
    assert again.config.stem_activation is False
    assert again.config.id2label[7] == "surprised"
    batch = collate("cfn_sr", [clip("cfn_sr"), clip("cfn_sr", 13, 3, seed=1)])
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, model(**batch).logits)
    size = again.config.hidden_size
    spliced = weights["msaf.0.audio_attention.layers.1.self_attn.in_proj_weight"]
    assert torch.equal(again.fusion.audio_selection.layers[1].attention.key.weight, spliced[size : 2 * size])
    assert torch.equal(again.classifier.bias, weights["fc.bias"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authors.pth", "model"]


def test_the_processor_is_the_one_it_was_trained_with(weights, tmp_path):
    convert_checkpoint(saved(weights, tmp_path), tmp_path / "model", **TINY)
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    assert type(processor) is TacfnProcessor
    sound, pictures = processor.feature_extractor, processor.image_processor
    assert (sound.sampling_rate, sound.feature_size, sound.n_fft, sound.hop_length) == (44100, 13, 2048, 512)
    assert (pictures.num_frames, pictures.size) == (30, {"height": 224, "width": 224})
    blue = np.zeros((1, 2, 2, 3), np.uint8)
    blue[..., 2] = 255
    pixels = pictures.normalize(blue)[0, :, 0, 0]
    np.testing.assert_allclose(pixels, [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-5)
    assert torch.equal(pictures.normalize(torch.from_numpy(blue))[0, :, 0, 0], torch.from_numpy(pixels))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"epoch": 3, "arch": "msaf", "state_dict": state, "optimizer": {"lr": 0.1}},
        lambda state: {"model": {"state_dict": {f"module.module.{name}": value for name, value in state.items()}}},
        lambda state: {"model_state_dict": state},
        lambda state: {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")},
        lambda state: {name: value.half() if value.is_floating_point() else value for name, value in state.items()},
    ],
    ids=["data parallel", "among other things", "two levels", "another key", "before torch 0.4.1", "half"],
)
def test_every_way_of_saving(wrap, weights, tmp_path):
    model = convert_checkpoint(saved(wrap(weights), tmp_path), tmp_path / "model", **TINY)
    torch.testing.assert_close(model.classifier.weight, weights["fc.weight"], atol=1e-3, rtol=0)
    assert model.dtype == torch.float32


def test_the_old_file_format(weights, tmp_path):
    path = saved(weights, tmp_path, _use_new_zipfile_serialization=False)
    assert torch.equal(convert_checkpoint(path, tmp_path / "model", **TINY).classifier.weight, weights["fc.weight"])


def test_other_labels(tmp_path):
    state = made_up_weights(cfn_sr_shapes(make_config("cfn_sr"), num_labels=3))
    model = convert_checkpoint(saved(state, tmp_path), tmp_path / "model", labels=["low", "mid", "high"], **TINY)
    assert model.config.label2id == {"low": 0, "mid": 1, "high": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("msaf.0.y_affine.weight"), r"lacks fusion\.cross_modal\.audio\.weight"),
        (lambda state: state.update({"msaf.1.gate": torch.zeros(2)}), r"has unknown msaf\.1\.gate"),
        (
            lambda state: state.update({"fc.weight": torch.zeros(6, 448), "fc.bias": torch.zeros(6)}),
            r"classifier\.weight of shape \(6, 448\) instead of \(8, 448\)",
        ),
        (lambda state: state["fc.bias"].fill_(torch.nan), r"not finite in classifier\.bias"),
        (
            lambda state: state.update({"fc.weight": torch.zeros(1, 1).expand(10**6, 10**6)}),
            r"classifier\.weight of shape \(1000000, 1000000\)",
        ),
        (lambda state: state.clear(), "expected tensors by name"),
        (lambda state: state.update({"model": state}), "expected tensors by name"),
        (lambda state: state.update({"fc.bias": "eight"}), "expected tensors by name"),
    ],
)
def test_what_does_not_fit_is_named_and_leaves_nothing(change, message, weights, tmp_path):
    change(weights)
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(saved(weights, tmp_path), tmp_path / "model", **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["authors.pth"]


class Hostile:
    """Makes a file when it is unpickled by a reader that executes what it reads."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_file_is_not_executed(zipped, weights, tmp_path):
    trace = tmp_path / "executed"
    path = saved(weights | {"payload": Hostile(trace)}, tmp_path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"calls for \w+\.mkdir, which was not executed"):
        convert_checkpoint(path, tmp_path / "model", **TINY)
    path.write_bytes(pickle.dumps(Hostile(trace)))
    with pytest.raises(ValueError, match=r"authors\.pth: expected"):
        read_state_dict(path)
    assert not trace.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0, 10, 3000, -100])
def test_a_file_that_is_cut_short(kept, zipped, weights, tmp_path):
    path = saved(weights, tmp_path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"authors\.pth: expected"):
        read_state_dict(path)


def test_files_that_are_not_there_or_of_another_kind(tmp_path):
    with pytest.raises(OSError, match="absent"):
        read_state_dict(tmp_path / "absent.pth")
    with pytest.raises(OSError, match=str(tmp_path)):
        read_state_dict(tmp_path)
    (tmp_path / "page.pth").write_text("<html>Not found</html>")
    with pytest.raises(ValueError, match=r"page\.pth: expected"):
        read_state_dict(tmp_path / "page.pth")


def test_a_folder_that_holds_something_is_refused(weights, tmp_path):
    path, folder = saved(weights, tmp_path), tmp_path / "model"
    folder.mkdir()
    convert_checkpoint(path, folder, **TINY)
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    with pytest.raises(OSError, match="expected a name that is free or an empty folder"):
        convert_checkpoint(path, folder, **TINY)
    with pytest.raises(OSError, match="expected a name that is free or an empty folder"):
        convert_checkpoint(path, path, **TINY)
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_an_unknown_network_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a network of"):
        convert_checkpoint(tmp_path / "any.pth", tmp_path / "model", network="msaf")


def test_the_command_answers_in_a_line(weights, tmp_path, capsys):
    command = ["convert", "--network", "cfn_sr", str(saved(weights, tmp_path)), str(tmp_path / "model")]
    assert tacfn.main(command) == 1  # tiny weights in the published network
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tacfn: ")
    assert "instead of" in err
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_the_command_at_the_published_size(tmp_path, capsys):
    path = saved(made_up_weights(cfn_sr_shapes(AUTHORS_NETWORKS["cfn_sr"].config_class())), tmp_path)
    assert tacfn.main(["convert", "--network", "cfn_sr", str(path), str(tmp_path / "model")]) == 0
    assert "26,301,417 parameters" in capsys.readouterr().out
    assert tacfn.main(["info", str(tmp_path / "model")]) == 0
    assert "video_encoder 25,865,664" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cfn_sr", "audio_video"])
def test_published_video_weights_start_the_encoder(name, resnext_weights, tmp_path):
    content = {"arch": "resnext-50", "state_dict": {f"module.{key}": value for key, value in resnext_weights.items()}}
    model = build(name)
    loaded = load_video_encoder(model, saved(content, tmp_path))
    encoder = model.fusion.video_encoder
    assert loaded == sum(parameter.numel() for parameter in encoder.parameters())
    for ours, theirs in (
        (encoder.stem.weight, "conv1.weight"),
        (encoder.stem_norm.running_var, "bn1.running_var"),
        (encoder.stages[2][0].conv2.weight, "layer3.0.conv2.weight"),
        (encoder.stages[3][0].shortcut_norm.bias, "layer4.0.downsample.1.bias"),
    ):
        assert torch.equal(ours, resnext_weights[theirs])


def test_video_weights_that_do_not_fit_are_refused(resnext_weights, tmp_path):
    wide = build("cfn_sr", video_stem_channels=12)
    before = wide.fusion.video_encoder.stages[3][0].conv1.weight.clone()
    with pytest.raises(ValueError, match=r"has stem\.weight of shape \(8, 3, 7, 7, 7\) instead of \(12, 3, 7, 7, 7\)"):
        load_video_encoder(wide, saved(resnext_weights, tmp_path))
    assert torch.equal(wide.fusion.video_encoder.stages[3][0].conv1.weight, before)
    with pytest.raises(ValueError, match="no video encoder"):
        load_video_encoder(build("features"), tmp_path / "authors.pth")
