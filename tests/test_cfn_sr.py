"""CFN-SR: its published size, and the answers that its authors' code gives for the same weights and inputs."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from author_checkpoints import cfn_sr_shapes, made_up_weights
from tiny_models import build, clip, collate

from modeling_tacfn import CfnSrConfig, CfnSrModel
from modeling_tacfn.convert import convert_checkpoint


PARITY = json.loads((Path(__file__).parent / "parity" / "cfn_sr.json").read_text(encoding="utf-8"))


def test_published_size():
    with torch.device("meta"):
        model = CfnSrModel(CfnSrConfig())
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.fusion.named_children()}
    assert {name: count for name, count in parts.items() if count} == {
        "video_encoder": 25_865_664,
        "audio_encoder": 20_704,
        "audio_selection": 250_048,
        "cross_modal": 135_297,
    }
    assert sum(p.numel() for p in model.classifier.parameters()) == 29_704
    assert model.num_parameters() == PARITY["parameters"] == 26_301_417


def test_size_of_the_released_file_without_its_encoder():
    with torch.device("meta"):
        assert CfnSrModel(CfnSrConfig(num_hidden_layers=0)).num_parameters() == 26_051_369


def test_published_shapes():
    with torch.device("meta"):
        output = CfnSrModel(CfnSrConfig())(
            input_features=torch.zeros(2, 212, 13), pixel_values_videos=torch.zeros(2, 30, 3, 224, 224)
        )
    assert output.logits.shape == (2, 8)
    assert output.weight_vectors["video"].shape == (2, 2, 7, 7)
    assert output.pooler_output.shape == (2, 2048 + 26 * 64)


def test_author_names_are_those_of_the_released_code():
    names = json.dumps(cfn_sr_shapes(CfnSrConfig()), sort_keys=True)
    assert hashlib.sha256(names.encode()).hexdigest() == PARITY["state_dict_sha256"]


def parity_clip(index: int) -> dict[str, torch.Tensor]:
    """One of the two made-up inputs, as our networks take it."""
    frames, size, steps = 30, 224, 212
    video = np.sin(0.013 * np.arange(3 * frames * size * size) + index).reshape(3, frames, size, size)
    mfcc = (20 * np.cos(0.07 * np.arange(13 * steps) + 2 * index)).reshape(13, steps)
    return {
        "input_features": torch.from_numpy(mfcc.T.astype(np.float32))[None],
        "pixel_values_videos": torch.from_numpy(video.astype(np.float32)).transpose(0, 1)[None],
    }


@pytest.mark.slow
@torch.no_grad()
def test_answers_of_the_authors_code(tmp_path):
    torch.save(made_up_weights(cfn_sr_shapes(CfnSrConfig())), tmp_path / "authors.pth")
    model = convert_checkpoint(tmp_path / "authors.pth", tmp_path / "model")
    maps = []  # of the video encoder
    model.fusion.video_encoder.register_forward_hook(lambda *call: maps.append(call[-1][0]))
    clips = [parity_clip(index) for index in range(2)]
    expected = torch.tensor([PARITY["logits"][f"b={index}"] for index in range(2)])

    alone = torch.cat([model(**item).logits for item in clips])
    torch.testing.assert_close(alone, expected, atol=1e-4, rtol=0)
    output = model(**{key: torch.cat([item[key] for item in clips]) for key in clips[0]})
    torch.testing.assert_close(output.logits, expected, atol=1e-4, rtol=0)

    # The authors' code gives another answer here: every clip is weighed by the sum of both clips' maps.
    shared_weights = output.weight_vectors["video"].sum(0)[None, ..., None]
    pooled = (maps[-1] * shared_weights + maps[-1]).mean((1, 2, 3))
    shared = model.classifier(torch.cat([pooled, output.pooler_output[:, pooled.shape[1] :]], dim=1))
    authors_batch = torch.tensor(PARITY["logits_of_a_shared_batch_in_the_authors_code"])
    torch.testing.assert_close(shared, authors_batch, atol=1e-4, rtol=0)


@torch.no_grad()
def test_audio_guides_by_its_last_real_step_and_never_looks_ahead():
    model = build("cfn_sr")
    hidden = []
    model.fusion.audio_selection.register_forward_hook(lambda *call: hidden.append(call[-1]))
    item = clip("cfn_sr", length=95)
    model(**collate("cfn_sr", [item], extra=30))
    changed = item | {"input_features": item["input_features"].clone()}
    changed["input_features"][-1] += 1
    model(**collate("cfn_sr", [changed], extra=30))
    before, after = hidden
    steps = (95 - 4) // 8
    # The last MFCC step reaches the last three steps of the map through the convolutions, earlier ones only by attention.
    assert torch.equal(before[:, : steps - 3], after[:, : steps - 3])
    assert not torch.equal(before[:, steps - 1], after[:, steps - 1])


def test_without_the_stem_activation_padded_frames_never_win():
    # All real values of a slot may be negative then, and the zero of a padded frame would be the largest.
    model = build("cfn_sr_released")
    with torch.no_grad():
        model.fusion.video_encoder.stem_norm.bias.fill_(-50)
        items = [clip("cfn_sr", frames=frames, seed=frames) for frames in (5, 12)]
        alone = torch.cat([model(**collate("cfn_sr", [item])).logits for item in items])
        batch = model(**collate("cfn_sr", items, extra=4)).logits
    torch.testing.assert_close(batch, alone, atol=1e-5, rtol=0)


def test_named_features_are_refused():
    with pytest.raises(ValueError, match="not named features"):
        build("cfn_sr")(features={"units": torch.zeros(1, 7)})
