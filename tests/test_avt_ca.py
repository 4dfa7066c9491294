"""AVT-CA: what the released code answers, what each field that tells the two forms apart changes, and its two directions."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from avt_ca_checkpoints import avt_ca_shapes, efficientface_shapes, made_up_avt_ca_weights
from tiny_models import AVT_CA, build, clip, collate, make_config
from transformers import AutoConfig, AutoModel, AutoProcessor

from modeling_tacfn import AvtCaConfig, AvtCaModel
from modeling_tacfn.configuration_avt_ca import RELEASED_FIELDS
from modeling_tacfn.convert import avt_ca_processor, convert_checkpoint, load_video_encoder
from modeling_tacfn.convert_avt_ca import (
    AVT_CA_RENAMES,
    avt_ca_key,
    efficientface_key,
)
from modeling_tacfn.modeling_av_efficientface import EfficientFace


PARITY = json.loads((Path(__file__).parent / "parity" / "avt_ca.json").read_text(encoding="utf-8"))


@torch.no_grad()
def answer(model, batch):
    return model(**batch)


# The released form against the released code.


@pytest.fixture(scope="module")
def released():
    """The released form with the made-up weights of the parity file."""
    config = AvtCaConfig.released()
    model = AvtCaModel(config).eval()
    state = {avt_ca_key(name): value for name, value in made_up_avt_ca_weights(avt_ca_shapes(config)).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert unexpected == []
    assert missing == ["fusion.audio_standardize.mean", "fusion.audio_standardize.std"]
    return model


def parity_clip(index: int) -> dict[str, torch.Tensor]:
    """One of the two made-up inputs, without batch dimension."""
    video = np.sin(np.arange(15 * 3 * 224 * 224) * (0.013 + 0.01 * index)).reshape(15, 3, 224, 224)
    mfcc = 5 * np.cos(np.arange(10 * 156) * (0.07 + 0.05 * index)).reshape(10, 156)
    return {
        "input_features": torch.from_numpy(mfcc.T.astype(np.float32)),
        "pixel_values_videos": torch.from_numpy(video.astype(np.float32)),
    }


def test_names_are_those_of_the_released_code():
    names = json.dumps(avt_ca_shapes(AvtCaConfig.released()), sort_keys=True)
    assert hashlib.sha256(names.encode()).hexdigest() == PARITY["state_dict_sha256"]


def test_released_size(released):
    assert released.num_parameters() == PARITY["parameters"] == 2_004_462


def test_answers_of_the_released_code(released):
    clips = [parity_clip(index) for index in range(2)]
    expected = torch.tensor([PARITY["logits"][f"b={index}"] for index in range(2)])
    alone = torch.cat([answer(released, collate("avt_ca", [item])).logits for item in clips])
    # The two answers differ by 1e-3 only, so that the 1e-4 asked of a conversion would say little.
    torch.testing.assert_close(alone, expected, atol=1e-5, rtol=0)
    batch = collate("avt_ca", clips[::-1], extra=3)
    torch.testing.assert_close(answer(released, batch).logits.flip(0), alone, atol=1e-5, rtol=0)


def test_released_shapes(released):
    released.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            output = released(**collate("avt_ca", [parity_clip(0)]), output_attentions=True, output_hidden_states=True)
    finally:
        released.set_attn_implementation("sdpa")
    assert output.pooler_output.shape == (1, 256)
    assert [tuple(tokens.shape[1:]) for tokens in output.hidden_states] == [
        (150, 128),
        (15, 64),
        (144, 128),
        (15, 128),
    ]
    assert [tuple(weights.shape[1:]) for weights in output.attentions] == [
        (8, 150, 15),
        (8, 15, 150),
        (8, 144, 144),
        (8, 15, 15),
    ]


# Names and numbers of the authors' checkpoints.


def test_every_name_has_one_place():
    config = make_config("avt_ca_released")
    shapes = avt_ca_shapes(config)
    own = {name: list(value.shape) for name, value in AvtCaModel(config).state_dict().items()}
    translated = {avt_ca_key(f"module.{name}"): shape for name, shape in shapes.items()}
    assert translated == {name: shape for name, shape in own.items() if "standardize" not in name}
    assert len(translated) == len(shapes)
    with pytest.raises(KeyError, match="no 'av2.norm2.weight'"):
        avt_ca_key("av2.norm2.weight")


def test_renames_may_be_applied_one_after_the_other():
    for name in avt_ca_shapes(make_config("avt_ca_released")):
        renamed = name
        for pattern, ours in AVT_CA_RENAMES:
            renamed = re.sub(pattern, ours, renamed)
        assert renamed == avt_ca_key(name)


def test_a_checkpoint_becomes_a_folder_of_the_released_form(tmp_path):
    fields = AVT_CA | {"num_attention_heads": 4}
    reference = AvtCaModel(AvtCaConfig.released(**fields)).eval()
    weights = made_up_avt_ca_weights(avt_ca_shapes(reference.config))
    reference.load_state_dict({avt_ca_key(name): value for name, value in weights.items()}, strict=False)
    torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, tmp_path / "authors.pth")
    converted = convert_checkpoint(tmp_path / "authors.pth", tmp_path / "model", "avt_ca", **fields)
    loaded = AutoModel.from_pretrained(tmp_path / "model").eval()
    assert loaded.config.final_attention == "shared_self"
    batch = collate("avt_ca", [clip("avt_ca")])
    for model in (converted, loaded):
        assert torch.equal(answer(model, batch).logits, answer(reference, batch).logits)
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    assert processor.feature_extractor.feature_size == 10
    assert processor.image_processor.do_flip_channel_order


@pytest.mark.parametrize("name", ["avt_ca_released", "avt_ca"])
def test_efficientface_weights_start_the_video_encoder(name, tmp_path):
    model, before = build(name), build(name)
    shapes = efficientface_shapes(make_config("avt_ca_released")) | {"fc.weight": [7, 16], "fc.bias": [7]}
    weights = made_up_avt_ca_weights(shapes)
    torch.save({"state_dict": {f"module.{key}": value for key, value in weights.items()}}, tmp_path / "affectnet.pth")
    loaded = load_video_encoder(model, tmp_path / "affectnet.pth")
    encoder, old = model.fusion.video_encoder.state_dict(), before.fusion.video_encoder.state_dict()
    anew = () if name == "avt_ca_released" else ("attention.", "local.")
    for theirs, value in weights.items():
        key = (efficientface_key(theirs) or "").removeprefix("fusion.video_encoder.")
        if key and not key.startswith(anew):
            assert torch.equal(encoder[key], value), key
    assert all(torch.equal(encoder[key], value) for key, value in old.items() if key.startswith(anew))
    parameters = model.fusion.video_encoder.named_parameters()
    assert loaded == sum(value.numel() for key, value in parameters if not key.startswith(anew))
    with torch.device("meta"):  # as train.py asks, before any fold, whether they fit
        assert load_video_encoder(AvtCaModel(make_config(name)), tmp_path / "affectnet.pth") == loaded
    assert efficientface_key("module.fc.weight") is None
    with pytest.raises(KeyError, match="EfficientFace has no 'layer1"):
        efficientface_key("layer1.0.conv1.weight")


def test_weights_of_another_encoder_are_refused(tmp_path):
    torch.save({"conv1.weight": torch.zeros(8, 3, 7, 7, 7)}, tmp_path / "kinetics.pth")
    with pytest.raises(ValueError, match="EfficientFace at these sizes, but the file lacks"):
        load_video_encoder(build("avt_ca"), tmp_path / "kinetics.pth")


def test_processor_gives_what_the_released_code_saw(released):
    processor = avt_ca_processor()
    processor.image_processor.do_face_crop = False
    seconds = np.arange(round(3.6 * 22050)) / 22050
    frames = np.full((40, 60, 60, 3), [51, 0, 255], np.uint8)  # of 255: red 0.2, green 0, blue 1
    inputs = processor(videos=[frames], audio=[np.sin(600 * seconds).astype(np.float32)], sampling_rate=22050)
    assert inputs["input_features"].shape == (1, 156, released.config.audio_coefficients)
    assert inputs["pixel_values_videos"].shape == (1, 15, 3, 224, 224)
    blue_first = torch.tensor([1.0, 0.0, 0.2])[:, None, None].expand(1, 15, 3, 224, 224)
    torch.testing.assert_close(inputs["pixel_values_videos"], blue_first)


# The two forms, and every field that tells them apart.


def test_default_is_the_papers_form():
    config = AvtCaConfig()
    assert {field: getattr(config, field) for field in RELEASED_FIELDS} == {
        "video_attention": "before_stages",
        "num_attention_heads": 4,
        "final_attention": "cross",
        "pooling": "max",
        "combination": "sum",
        "modality_classifiers": False,
    }
    assert config.modalities == ("audio", "video")
    assert config.id2label[5] == "fearful"


@pytest.mark.parametrize("config", [AvtCaConfig(), AvtCaConfig.released(num_labels=2, pooling="max")])
def test_round_trip(config, tmp_path):
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert type(again) is AvtCaConfig
    different = {key for key, value in config.to_dict().items() if again.to_dict()[key] != value}
    assert different <= {"_name_or_path"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pooling": "last"}, "pooling"),
        ({"audio_channels": [64, 128, 128]}, "`audio_channels` needs one size per convolution"),
        ({"audio_channels": [64, 128, 256, 64]}, "end in the same size, got 64 and 128"),
        ({"num_attention_heads": 5}, r"must be positive and divide the token sizes \[128, 64, 128\], got 5"),
        ({"num_attention_heads": 0}, "must be positive"),
        ({"video_stage_depths": [4, 8]}, "one entry per stage"),
        ({"video_stage_channels": [116, 231, 464]}, r"even, since a stage splits them in halves, got \[231\]"),
        ({"video_stem_channels": 24, "video_attention": "after_first_stage"}, "expected a multiple, got 24 and 116"),
        ({"modality_loss_weight": 0.5, "modality_classifiers": False}, "needs `modality_classifiers`"),
    ],
)
def test_contradictions_are_named(fields, message):
    with pytest.raises(Exception, match=message):
        AvtCaConfig(**fields)


def record(model, module, batch):
    """What `module` is given and gives while `model` answers: the model's output, and (arguments, result) per call."""
    calls = []
    handle = module.register_forward_hook(lambda _, arguments, result: calls.append((arguments, result)))
    output = answer(model, batch)
    handle.remove()
    return output, calls


def test_video_attention_acts_where_the_field_says():
    batch = collate("avt_ca", [clip("avt_ca")])
    seen = {}
    for place in ("before_stages", "after_first_stage"):
        model = build("avt_ca", video_attention=place)
        encoder = model.fusion.video_encoder
        _, [((attended,), weighted)] = record(model, encoder.attention, batch)
        _, [((local_input,), local)] = record(model, encoder.local, batch)
        _, [((stage_input,), stage_output)] = record(model, encoder.first_stage, batch)
        assert weighted.shape == local.shape == attended.shape
        if place == "before_stages":
            assert torch.equal(attended, local_input)
            assert torch.equal(stage_input, weighted + local)
        else:
            assert torch.equal(attended, stage_output)
            assert torch.equal(stage_input, local_input)
        seen[place] = attended.shape
    assert seen == {"before_stages": (6, 4, 12, 12), "after_first_stage": (6, 8, 6, 6)}


@pytest.mark.parametrize("size", [9, 10, 11, 17, 33, 48, 50])
@pytest.mark.parametrize("place", ["before_stages", "after_first_stage"])
def test_any_size_of_picture_is_cut_in_quarters(place, size):
    encoder = EfficientFace(4, (8, 8), (2, 1), 16, 3, place).eval()
    assert encoder(torch.randn(2, 3, size, size + 3)).shape == (2, 16)


@torch.no_grad()
def test_a_quarter_sees_only_itself():
    local = build("avt_ca").fusion.video_encoder.local
    picture = torch.randn(1, 4, 12, 12)
    changed = picture.clone()
    changed[..., 6:, 6:] += 1
    difference = (local(changed) - local(picture)).abs().amax((0, 1)) > 0
    assert difference[6:, 6:].any()
    assert not difference[:6].any()
    assert not difference[:, :6].any()


def test_heads_are_those_asked_for():
    model = build("avt_ca", num_attention_heads=2)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(**collate("avt_ca", [clip("avt_ca")]), output_attentions=True)
    assert [weights.shape[1] for weights in output.attentions] == [2] * 6


def test_intermediate_fusion_crosses_both_ways_and_can_be_left_out():
    before = clip("avt_ca_intermediate_only")
    louder = before | {"input_features": 2 * before["input_features"]}
    other_face = before | {"pixel_values_videos": 1 - before["pixel_values_videos"]}

    def vectors(item, **fields):
        pooled = answer(
            build("avt_ca_intermediate_only", combination="concatenation", **fields),
            collate("avt_ca", [item]),
        ).pooler_output
        return pooled.chunk(2, dim=1)

    audio, video = vectors(before)
    assert not torch.equal(vectors(louder)[1], video)
    assert not torch.equal(vectors(other_face)[0], audio)
    audio, video = vectors(before, intermediate_fusion=False)
    assert torch.equal(vectors(louder, intermediate_fusion=False)[1], video)
    assert torch.equal(vectors(other_face, intermediate_fusion=False)[0], audio)


@pytest.mark.parametrize(("kind", "crosses"), [("cross", True), ("shared_self", False), ("none", False)])
def test_final_attention_crosses_only_in_the_papers_form(kind, crosses):
    model = build("avt_ca_final_only", final_attention=kind, combination="concatenation")
    before = clip("avt_ca")
    audio, video = answer(model, collate("avt_ca", [before])).pooler_output.chunk(2, dim=1)
    louder = before | {"input_features": 2 * before["input_features"]}
    other_face = before | {"pixel_values_videos": 1 - before["pixel_values_videos"]}
    new_audio, same_face = answer(model, collate("avt_ca", [louder])).pooler_output.chunk(2, dim=1)
    same_audio, new_face = answer(model, collate("avt_ca", [other_face])).pooler_output.chunk(2, dim=1)
    assert not torch.equal(new_audio, audio)
    assert not torch.equal(new_face, video)
    assert torch.equal(same_face, video) is not crosses
    assert torch.equal(same_audio, audio) is not crosses


def test_final_attention_is_shared_only_in_the_released_form():
    model = build("avt_ca_released")
    _, calls = record(model, model.fusion.final_attention.attention, collate("avt_ca", [clip("avt_ca")]))
    assert [tuple(arguments[0].shape) for arguments, _ in calls] == [(1, 28, 16), (1, 6, 16)]
    own = build("avt_ca").fusion.final_attention.own
    assert not torch.equal(own["audio"].query_key_value.weight, own["video"].query_key_value.weight)


@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("combination", ["sum", "concatenation"])
def test_pooling_and_combination_do_what_they_are_called(pooling, combination):
    model = build("avt_ca_intermediate_only", pooling=pooling, combination=combination)
    with torch.no_grad():
        output = model(**collate("avt_ca", [clip("avt_ca")]), output_hidden_states=True)
    pooled = [tokens.amax(1) if pooling == "max" else tokens.mean(1) for tokens in output.hidden_states[-2:]]
    expected = sum(pooled) if combination == "sum" else torch.cat(pooled, dim=1)
    torch.testing.assert_close(output.pooler_output, expected, atol=1e-6, rtol=0)


def test_padding_never_wins_the_maximum():
    # Self-attention's bias makes every real token negative, so that a zero of padding would be the largest.
    model = build("avt_ca", combination="concatenation")
    items = [clip("avt_ca", length, frames, seed=frames) for length, frames in ((40, 3), (70, 9))]
    with torch.no_grad():
        for attention in model.fusion.final_attention.own.values():
            attention.output.bias.fill_(-50)
    alone = torch.cat([answer(model, collate("avt_ca", [item])).pooler_output for item in items])
    assert (alone < 0).all()
    padded = answer(model, collate("avt_ca", items, extra=20)).pooler_output
    torch.testing.assert_close(padded, alone, atol=1e-4, rtol=0)


# What is ours: own classifiers, absent modalities, refusals.


def test_a_modality_is_judged_as_if_the_other_were_absent():
    model = build("avt_ca_own_classifiers")
    batch = collate("avt_ca", [clip("avt_ca"), clip("avt_ca", 20, 3, seed=1)])
    both = answer(model, batch).modality_logits
    only_sound = answer(model, {key: value for key, value in batch.items() if key in ("input_features", "audio_mask")})
    assert set(only_sound.modality_logits) == {"audio"}
    torch.testing.assert_close(only_sound.modality_logits["audio"], both["audio"], atol=1e-6, rtol=0)


def test_masks_may_be_numbers():
    model, batch = build("avt_ca"), collate("avt_ca", [clip("avt_ca"), clip("avt_ca", 20, 3, seed=1)])
    numbers = {key: value.long() if "mask" in key else value for key, value in batch.items()}
    assert torch.equal(answer(model, numbers).logits, answer(model, batch).logits)


def test_released_classifiers_are_there_and_say_nothing_unless_asked():
    quiet = build("avt_ca_released", modality_loss_weight=0.0)
    assert set(quiet.modality_classifiers) == {"audio", "video"}
    assert answer(quiet, collate("avt_ca", [clip("avt_ca")])).modality_logits is None
    assert not hasattr(build("avt_ca"), "modality_classifiers")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "got neither"),
        ({"input_features": torch.zeros(1, 40, 13)}, r"must be \(batch, steps, 10\), got \(1, 40, 13\)"),
        ({"pixel_values_videos": torch.zeros(1, 6, 3, 32, 8)}, "at least 9 pixels high and wide"),
        ({"features": {"units": torch.zeros(1, 7)}}, "not named features"),
    ],
)
def test_wrong_input_names_the_remedy(inputs, message):
    with pytest.raises(ValueError, match=message):
        build("avt_ca")(**inputs)


def test_papers_form_at_its_published_sizes():
    with torch.device("meta"):
        model = AvtCaModel(AvtCaConfig())
        output = model(input_features=torch.zeros(2, 156, 10), pixel_values_videos=torch.zeros(2, 15, 3, 224, 224))
    assert output.logits.shape == (2, 8)
    assert output.pooler_output.shape == (2, 128)
    assert output.weight_vectors == {}
