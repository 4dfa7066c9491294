"""Configurations: defaults, round trips, and messages for fields that contradict each other."""

import pytest
from transformers import AutoConfig

from modeling_tacfn import CfnSrConfig, TacfnConfig


def test_default_is_the_published_form():
    config = TacfnConfig()
    assert config.modalities == ("video", "audio")
    assert tuple(config.reinforced) == ("video",)
    assert config.num_labels == 8
    assert config.id2label[5] == "fearful"
    assert config.label2id["surprised"] == 7


def test_default_is_cfn_sr_as_drawn():
    config = CfnSrConfig()
    assert config.modalities == ("video", "audio")
    assert config.reinforced == ("video",)
    assert (config.stem_activation, config.is_causal, config.selection_pooling) == (True, True, "last")
    assert config.id2label == TacfnConfig().id2label


@pytest.mark.parametrize("fields", [{}, {"num_labels": 2, "stem_activation": False, "selection_pooling": "mean"}])
def test_round_trip_of_cfn_sr(fields, tmp_path):
    config = CfnSrConfig(**fields)
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert type(again) is CfnSrConfig
    assert again.to_dict() == config.to_dict() | {"_name_or_path": str(tmp_path)}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"num_labels": 2},
        {"id2label": {0: "no", 1: "yes"}},
        {"feature_sizes": {"units": 35, "audio": 64}, "static_features": ["units"], "reinforced": []},
        {"feature_sizes": {"b": 1, "c": 2, "a": 3}, "feature_order": ["c", "a", "b"]},
    ],
)
def test_round_trip(fields, tmp_path):
    config = TacfnConfig(**fields)
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert type(again) is TacfnConfig
    assert again.id2label == config.id2label
    assert again.label2id == config.label2id
    assert again.modalities == config.modalities
    assert list(again.reinforced) == list(config.reinforced)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": "64"}, "hidden_size"),
        ({"weight_scale": "sum"}, "weight_scale"),
        ({"hidden_size": 60}, "multiple of `num_attention_heads`"),
        ({"reinforced": ["text"]}, r"names \['text'\]"),
        ({"audio_channels": [32, 32, 32]}, "ending in `hidden_size`"),
        ({"video_depths": [1, 1]}, "one entry per stage"),
        ({"video_widths": [100, 256, 512, 1024]}, "multiples of `video_cardinality`"),
        ({"encoded_targets": ["video"]}, "feature form"),
        ({"feature_sizes": {"a": 3, "b": 4}, "feature_order": ["a"]}, "each of the features"),
        ({"feature_sizes": {"a": 3}, "static_features": ["a"], "spectrogram_features": ["a"]}, "keep one"),
    ],
)
def test_contradictions_are_named(fields, message):
    with pytest.raises(Exception, match=message):
        TacfnConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"is_causal": "yes"}, "is_causal"),
        ({"selection_pooling": "max"}, "selection_pooling"),
        ({"hidden_size": 60}, "multiple of `num_attention_heads`"),
        ({"audio_channels": [32, 32, 32]}, "ending in `hidden_size`"),
        ({"video_widths": [100, 256, 512, 1024]}, "multiples of `video_cardinality`"),
    ],
)
def test_contradictions_of_cfn_sr_are_named(fields, message):
    with pytest.raises(Exception, match=message):
        CfnSrConfig(**fields)
