"""Behaviour that every network and form must have; no configuration is skipped."""

import copy

import pytest
import torch
from tiny_models import CONFIGS, build, classes, clip, collate, make_config, takes_features

from modeling_tacfn import TacfnConfig, TacfnModel
from modeling_tacfn.modeling_tacfn import TacfnFusedWeight


LENGTHS = [(40, 6), (13, 1), (95, 9), (3, 4)]
every_config = pytest.mark.parametrize("name", CONFIGS)


def run(model, batch, **kwargs):
    with torch.no_grad():
        return model(**batch, **kwargs)


def clips_of(name):
    return [clip(name, length, frames, seed) for seed, (length, frames) in enumerate(LENGTHS)]


def cast(batch, dtype):
    """The batch with its real numbers, not its masks, in another precision."""
    if isinstance(batch, dict):
        return {key: cast(value, dtype) for key, value in batch.items()}
    return batch.to(dtype) if batch.is_floating_point() else batch


def test_published_audio_video_size():
    with torch.device("meta"):
        model = TacfnModel(TacfnConfig())
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.fusion.named_children()}
    assert {name: count for name, count in parts.items() if count} == {
        "video_encoder": 25_865_664,
        "audio_encoder": 20_704,
        "audio_selection": 250_048,
        "video_weight": 135_297,
    }
    assert sum(p.numel() for p in model.classifier.parameters()) == 29_704
    assert model.num_parameters() == 26_301_417


def test_feature_form_size():
    config = TacfnConfig(feature_sizes={"text": 300, "audio": 74, "vision": 35}, hidden_size=40, num_labels=4)
    with torch.device("meta"):
        assert TacfnModel(config).num_parameters() == 342_047


def test_published_shapes():
    with torch.device("meta"):
        output = TacfnModel(TacfnConfig())(
            input_features=torch.zeros(2, 212, 13), pixel_values_videos=torch.zeros(2, 30, 3, 224, 224)
        )
    assert output.logits.shape == (2, 8)
    assert output.weight_vectors["video"].shape == (2, 2, 7, 7)
    assert output.pooler_output.shape == (2, 2048 + 26 * 64)


@every_config
def test_law_alone_batched_shuffled_padded(name):
    model, clips = build(name), clips_of(name)
    alone = torch.cat([run(model, collate(name, [item])).logits for item in clips])
    assert alone.std(0).max() > 1e-2, "the clips must differ for this test to mean anything"
    batched = run(model, collate(name, clips)).logits
    shuffled = run(model, collate(name, clips[::-1])).logits.flip(0)
    padded = run(model, collate(name, clips, extra=37)).logits
    for other in (batched, shuffled, padded):
        torch.testing.assert_close(other, alone, atol=1e-5, rtol=0)


@every_config
def test_masks_may_be_left_out_for_whole_clips(name):
    model, batch = build(name), collate(name, [clip(name)])
    without = {key: value for key, value in batch.items() if "mask" not in key}
    torch.testing.assert_close(run(model, without).logits, run(model, batch).logits, atol=1e-6, rtol=0)


@every_config
def test_absent_modality_is_the_same_left_out_or_masked(name):
    model, whole = build(name), collate(name, clips_of(name))
    keys = tuple(whole["features"]) if takes_features(name) else ("input_features", "pixel_values_videos")
    answers = [run(model, whole).logits]
    for key in keys:
        left_out, masked = copy.deepcopy(whole), copy.deepcopy(whole)
        if takes_features(name):
            del left_out["features"][key], left_out["feature_masks"][key]
            masked["feature_masks"][key][:] = False
        else:
            mask = {"input_features": "audio_mask", "pixel_values_videos": "video_mask"}[key]
            del left_out[key], left_out[mask]
            masked[mask][:] = False
        answers.append(run(model, left_out).logits)
        assert answers[-1].isfinite().all()
        torch.testing.assert_close(run(model, masked).logits, answers[-1], atol=1e-5, rtol=0)
    assert all((answers[0] - other).abs().max() > 1e-4 for other in answers[1:])


@every_config
def test_absent_for_one_clip_leaves_its_neighbours_alone(name):
    model, batch = build(name), collate(name, clips_of(name))
    before = run(model, batch).logits
    mask = batch["feature_masks"]["audio"] if takes_features(name) else batch["audio_mask"]
    mask[1] = False
    after = run(model, batch).logits
    torch.testing.assert_close(after[[0, 2, 3]], before[[0, 2, 3]], atol=1e-5, rtol=0)
    assert (after[1] - before[1]).abs().max() > 1e-4


@every_config
def test_weight_vectors_are_distributions_over_real_positions(name):
    model, batch = build(name), collate(name, clips_of(name), extra=5)
    weights = run(model, batch).weight_vectors
    assert set(weights) == set(getattr(model.config, "reinforced", ()))
    for target, vector in weights.items():
        slots = vector.flatten(2) if target == "video" else vector.unsqueeze(1)
        total = slots.sum(-1)
        if getattr(model.config, "weight_scale", "softmax") == "mean_one":
            count = (slots > 0).sum(-1)
            torch.testing.assert_close(total, count.float(), atol=1e-3, rtol=1e-4)
        else:
            torch.testing.assert_close(total[total > 0], torch.ones_like(total[total > 0]), atol=1e-5, rtol=0)
        assert (vector >= 0).all()


def test_without_the_residual_only_what_is_weighted_is_left():
    """Equal scores give every position the weight 1 ("mean_one"): doubled tokens with the residual, themselves without."""
    config = TacfnConfig(**CONFIGS["features_two_modalities"], weight_scale="mean_one")
    tokens, mask = torch.randn(2, 1, 5, 16), torch.ones(2, 1, 5, dtype=torch.bool)
    for weight_residual, factor in ((True, 2), (False, 1)):
        config.weight_residual = weight_residual
        weight = TacfnFusedWeight(config, 16, 0)
        torch.nn.init.zeros_(weight.score.weight)
        reinforced, _ = weight(tokens, None, mask)
        torch.testing.assert_close(reinforced, factor * tokens)


@every_config
def test_eager_equals_sdpa_and_gives_attentions(name):
    model, batch = build(name), collate(name, clips_of(name))
    logits = run(model, batch).logits
    model.set_attn_implementation("eager")
    attention, calls = model._can_record_outputs["attentions"].target_class, []
    for module in model.modules():
        if isinstance(module, attention):
            module.register_forward_hook(lambda *call: calls.append(call))
    output = run(model, batch, output_attentions=True, output_hidden_states=True)
    torch.testing.assert_close(output.logits, logits, atol=1e-5, rtol=0)
    assert len(output.attentions) == len(calls) > 0
    for weights in output.attentions:
        assert weights.shape[:2] == (4, 4)
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)), atol=1e-5, rtol=0)
    assert all(tokens.shape[0] == 4 and tokens.ndim == 3 for tokens in output.hidden_states)
    assert len(output.hidden_states) > 1


@every_config
def test_every_parameter_learns(name):
    model = build(name).train()
    model(**collate(name, clips_of(name)), labels=torch.tensor([0, 1, 2, 3])).loss.backward()
    silent = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    # A softmax does not change when the same number is added to all of its scores.
    assert [key for key in silent if not key.endswith(("attention.key.bias", "score.bias"))] == []


@pytest.mark.slow
@every_config
def test_overfits_one_batch(name):
    model = build(name, classifier_dropout=0.0, embedding_dropout=0.0).train()
    batch, labels = collate(name, clips_of(name)), torch.tensor([3, 1, 2, 0])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = model(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@every_config
def test_activation_checkpointing_changes_nothing(name):
    def loss_and_gradient(checkpointing):
        model = build(name).train()
        if checkpointing:
            model.activation_checkpointing_enable()
        torch.manual_seed(1)
        loss = model(**collate(name, clips_of(name)), labels=torch.tensor([0, 1, 2, 3])).loss
        loss.backward()
        return loss.detach(), next(model.parameters()).grad

    for plain, checkpointed in zip(loss_and_gradient(False), loss_and_gradient(True), strict=True):
        torch.testing.assert_close(checkpointed, plain)


@every_config
def test_forward_is_deterministic_and_leaves_the_batch_alone(name):
    model, batch = build(name), collate(name, clips_of(name))
    before = copy.deepcopy(batch)
    assert torch.equal(run(model, batch).logits, run(model, batch).logits)
    flat = [value for item in batch.values() for value in (item.values() if isinstance(item, dict) else [item])]
    kept = [value for item in before.values() for value in (item.values() if isinstance(item, dict) else [item])]
    assert all(torch.equal(a, b) for a, b in zip(flat, kept, strict=True))


@every_config
def test_save_and_load_is_bit_exact(name, tmp_path):
    model, batch = build(name), collate(name, clips_of(name))
    model.save_pretrained(tmp_path)
    again, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert torch.equal(run(again.eval(), batch).logits, run(model, batch).logits)
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


@every_config
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_loads_in_half_precision(name, dtype, tmp_path):
    model, batch = build(name), collate(name, clips_of(name))
    model.save_pretrained(tmp_path)
    half = classes(name)[1].from_pretrained(tmp_path, dtype=dtype).eval()
    assert {value.dtype for value in half.state_dict().values() if value.is_floating_point()} == {dtype}
    logits = run(half, cast(batch, dtype)).logits
    assert logits.dtype == dtype
    torch.testing.assert_close(logits.float(), run(model, batch).logits, atol=0.15, rtol=0)


@every_config
def test_loads_to_a_device(name, tmp_path):
    model, batch = build(name), collate(name, clips_of(name))
    model.save_pretrained(tmp_path)
    placed = classes(name)[1].from_pretrained(tmp_path, device_map="cpu").eval()
    assert torch.equal(run(placed, batch).logits, run(model, batch).logits)


@every_config
def test_loads_for_other_labels(name, tmp_path):
    model, batch = build(name), collate(name, clips_of(name))
    model.save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        classes(name)[1].from_pretrained(tmp_path, num_labels=3)
    other = classes(name)[1].from_pretrained(tmp_path, num_labels=3, ignore_mismatched_sizes=True).eval()
    answer, before = run(other, batch), run(model, batch)
    assert answer.logits.shape == (4, 3)
    assert answer.logits.isfinite().all()
    assert len(other.config.id2label) == len(other.config.label2id) == 3
    assert torch.equal(answer.pooler_output, before.pooler_output), "only the classifier starts anew"


@every_config
def test_initialisation_is_a_function_of_the_seed(name):
    def weights(seed):
        torch.manual_seed(seed)
        return classes(name)[1](make_config(name)).state_dict()

    first, again, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert all(value.isfinite().all() for value in first.values())
    drawn = [
        key for key, value in first.items() if value.numel() > 1 and value.is_floating_point() and value.std() > 0
    ]
    assert drawn
    assert not [key for key in drawn if torch.equal(first[key], other[key])]


@every_config
def test_missing_weights_start_as_a_new_network_would(name, tmp_path):
    model = build(name)
    model.save_pretrained(tmp_path, state_dict={"classifier.bias": model.classifier.bias.detach()})
    again, info = classes(name)[1].from_pretrained(tmp_path, output_loading_info=True)
    assert torch.equal(again.classifier.bias, model.classifier.bias)
    fresh = classes(name)[1](make_config(name)).state_dict()
    for key in info["missing_keys"]:
        value, expected = again.state_dict()[key].double(), fresh[key].double()
        assert value.isfinite().all(), key
        if value.numel() > 100:
            torch.testing.assert_close(value.std(), expected.std(), atol=0.02, rtol=0.5)


@every_config
def test_a_tuple_is_returned_where_one_is_asked_for(name):
    model, batch = build(name), collate(name, clips_of(name))
    as_tuple = run(model, batch, return_dict=False)
    assert torch.equal(as_tuple[0], run(model, batch).logits)


def test_standardization_travels_with_the_weights(tmp_path):
    model, batch = build("features"), collate("features", clips_of("features"))
    model.fusion.inputs["units"].standardize.fit(torch.full((7,), 2.0), torch.full((7,), 3.0))
    model.save_pretrained(tmp_path)
    assert torch.equal(run(TacfnModel.from_pretrained(tmp_path).eval(), batch).logits, run(model, batch).logits)


def test_input_features_are_the_audio_feature():
    model, batch = build("features"), collate("features", [clip("features")])
    by_name = run(model, batch).logits
    audio, mask = batch["features"].pop("audio"), batch["feature_masks"].pop("audio")
    assert torch.equal(run(model, batch, input_features=audio, audio_mask=mask).logits, by_name)


# One graph is what is ours; the default backend makes code of it in a minute, so that one network stands for all.
@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("features", "inductor"),
        ("audio_video_both_ways", "aot_eager"),
        ("cfn_sr_released", "aot_eager"),
        ("avt_ca", "aot_eager"),
    ],
)
@pytest.mark.slow
def test_compiles_to_one_graph(name, backend):
    model, batch = build(name), collate(name, clips_of(name))
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    torch.testing.assert_close(run(compiled, batch).logits, run(model, batch).logits, atol=1e-4, rtol=0)


@every_config
def test_bfloat16_stays_finite(name):
    model, batch = build(name).to(torch.bfloat16), cast(collate(name, clips_of(name)), torch.bfloat16)
    output = run(model, batch)
    assert output.logits.dtype == torch.bfloat16
    assert output.logits.isfinite().all()


def test_yes_no_labels_and_mixed_labels():
    batch = collate("features", clips_of("features"))
    yes_no = build("features", num_labels=4, problem_type="multi_label_classification")
    loss = run(yes_no, batch, labels=torch.tensor([[1.0, 0, 0, 1]] * 4)).loss
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        run(yes_no, batch).logits, torch.tensor([[1.0, 0, 0, 1]] * 4)
    )
    torch.testing.assert_close(loss, expected)
    one_of = build("features")
    hard = run(one_of, batch, labels=torch.tensor([0, 1, 2, 3])).loss
    torch.testing.assert_close(run(one_of, batch, labels=torch.eye(8)[:4]).loss, hard)


@pytest.mark.parametrize(
    "name",
    ["features_input_tokens", "audio_video_own_classifiers", "cfn_sr_own_classifiers", "avt_ca_own_classifiers"],
)
def test_each_modality_is_judged_where_it_is_there(name):
    model, batch = build(name), collate(name, clips_of(name))
    labels = torch.tensor([0, 1, 2, 3])
    mask = batch["feature_masks"]["audio"] if takes_features(name) else batch["audio_mask"]
    mask[1] = False
    output = run(model, batch, labels=labels)
    cross_entropy = torch.nn.functional.cross_entropy
    there = [0, 2, 3]
    expected = cross_entropy(output.logits, labels)
    for modality, logits in output.modality_logits.items():
        rows = there if modality == "audio" else [0, 1, 2, 3]
        expected = expected + model.config.modality_loss_weight * cross_entropy(logits[rows], labels[rows])
    assert set(output.modality_logits) == set(model.config.modalities)
    torch.testing.assert_close(output.loss, expected)


def test_a_modality_is_judged_before_the_others_reinforce_it():
    model, batch = build("features_input_tokens"), collate("features_input_tokens", clips_of("features_input_tokens"))
    before = run(model, batch)
    batch["features"]["units"] += 1
    after = run(model, batch)
    assert torch.equal(after.modality_logits["audio"], before.modality_logits["audio"])
    assert not torch.equal(after.modality_logits["units"], before.modality_logits["units"])
    assert not torch.equal(after.weight_vectors["audio"], before.weight_vectors["audio"])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "got neither"),
        ({"input_features": torch.zeros(1, 40, 20)}, r"must be \(batch, steps, 13\), got \(1, 40, 20\)"),
        ({"input_features": torch.zeros(40, 13)}, r"got \(40, 13\)"),
        ({"pixel_values_videos": torch.zeros(1, 3, 6, 32, 32)}, "batch, frames, 3, height, width"),
        ({"features": {"units": torch.zeros(1, 7)}}, "feature form"),
    ],
)
def test_wrong_audio_video_input_names_the_remedy(inputs, message):
    with pytest.raises(ValueError, match=message):
        build("audio_video")(**inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "Give at least one"),
        ({"features": {"unit": torch.zeros(1, 7)}}, r"got \['unit'\]"),
        ({"features": {"units": torch.zeros(1, 8)}}, r"`units` must be \(batch, 7\)"),
        ({"features": {"text": torch.zeros(1, 12)}}, r"`text` must be \(batch, steps, 12\)"),
        ({"pixel_values_videos": torch.zeros(1, 6, 3, 32, 32)}, "leave the frames out"),
    ],
)
def test_wrong_feature_input_names_the_remedy(inputs, message):
    with pytest.raises(ValueError, match=message):
        build("features")(**inputs)
