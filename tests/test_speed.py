"""What makes training fast changes nothing of what is learnt."""

import pytest
import torch
from prepared_clips import drawn_clips, samples
from test_augmentation import EVERYTHING, assert_equal
from tiny_models import build, clip, collate
from torch.utils.data import DataLoader

from modeling_tacfn import TacfnImageProcessor
from modeling_tacfn.augmentation import Augmenter
from modeling_tacfn.data import ClipCollator
from modeling_tacfn.speed import compile_network, loader_options, use_channels_last


NAMES = ["audio_video", "cfn_sr", "avt_ca", "features"]
CPU = torch.device("cpu")


def augmenting_collator(clips, **options):
    image_processor = TacfnImageProcessor(do_flip_channel_order=True)
    return ClipCollator(3, image_processor, Augmenter(EVERYTHING, samples(clips)), **options)


def step(name, model, sizes=((40, 6), (31, 4))):
    """Loss and gradients of one batch of clips with so many audio steps and frames."""
    clips = [clip(name, *size, seed=index) for index, size in enumerate(sizes)]
    batch = {
        key: {inner: values.to(model.device) for inner, values in given.items()}
        if isinstance(given, dict)
        else given.to(model.device)
        for key, given in collate(name, clips).items()
    }
    model.zero_grad()
    loss = model(**batch, labels=torch.arange(len(clips), device=model.device) % 2).loss
    loss.backward()
    return loss.detach(), {key: value.grad for key, value in model.named_parameters() if value.grad is not None}


def assert_same_step(one, other, **tolerance):
    torch.testing.assert_close(one[0], other[0], **tolerance)
    assert one[1].keys() == other[1].keys()
    for key, value in one[1].items():
        torch.testing.assert_close(value, other[1][key], msg=lambda text, key=key: f"{key}: {text}", **tolerance)


def test_pixels_that_are_left_for_later_are_the_same():
    clips = drawn_clips()
    now, later = augmenting_collator(clips), augmenting_collator(clips, leaves_pixels=True)
    left = later(samples(clips))
    assert left["crops"]["frames"].dtype == torch.uint8
    assert "pixel_values_videos" not in left
    assert_equal(later.finish(left), now(samples(clips)))


@pytest.mark.parametrize("num_workers", [2, 3])
def test_batches_are_the_same_whoever_makes_them(num_workers):
    clips = drawn_clips(10)
    epochs = []
    for workers in (1, num_workers):
        collator = augmenting_collator(clips)
        loader = DataLoader(samples(clips), batch_size=2, collate_fn=collator, **loader_options(workers, CPU))
        for seed in (7, 8):
            collator.seed(seed)
            epochs.append(list(loader))
    for first, other in ((0, 2), (1, 3)):
        for batch, same in zip(epochs[first], epochs[other], strict=True):
            assert_equal(batch, same)
    assert not torch.equal(epochs[0][0]["pixel_values_videos"], epochs[1][0]["pixel_values_videos"])


def test_batches_of_an_epoch_draw_differently():
    clips = [drawn_clips(1)[0]] * 4
    collator = augmenting_collator(drawn_clips())
    first, second = (collator(samples(clips)[part]) for part in (slice(0, 2), slice(2, 4)))
    assert not torch.equal(first["features"]["units"], second["features"]["units"])


@pytest.mark.parametrize("name", NAMES)
def test_kernels_with_channels_last_compute_the_same(name, tmp_path):
    model = build(name, initializer_range=0.5)
    plain = step(name, model)
    use_channels_last(model)
    kernels = [value for value in model.parameters() if value.ndim in (4, 5) and min(value.shape[:2]) > 1]
    assert kernels
    assert not any(value.is_contiguous() for value in kernels if value[0, 0].numel() > 1)
    assert_same_step(step(name, model), plain, atol=1e-5, rtol=1e-4)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_network_computes_the_same_and_is_compiled_once(name):
    from torch._dynamo.testing import CompileCounterWithBackend

    plain, model = build(name), build(name)
    counter = CompileCounterWithBackend("aot_eager")
    compile_network(model, counter)
    assert model.state_dict().keys() == plain.state_dict().keys()
    # The frames of clips with pictures are as many in every batch.
    batches = [((40, 6), (31, 4), (37, 3)), ((33, 6), (35, 4), (50, 5)), ((64, 6), (40, 5), (38, 5))]
    compiled = []
    for sizes in batches:
        assert_same_step(step(name, model, sizes), step(name, plain, sizes), atol=1e-5, rtol=1e-4)
        compiled.append(counter.frame_count)
    assert compiled[0] > 0
    assert compiled[1:] == compiled[:1] * 2, "it was compiled again for other sizes"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_a_fast_step_on_a_gpu_is_close_to_a_plain_one(name):
    plain, fast = build(name).cuda(), build(name).cuda()
    use_channels_last(fast)
    compile_network(fast, "inductor")
    loss, gradients = step(name, plain)
    with torch.autocast("cuda", torch.bfloat16):
        fast_loss, fast_gradients = step(name, fast)
    torch.testing.assert_close(fast_loss, loss, atol=0.05, rtol=0.05)
    one, other = (
        torch.cat([values[key].flatten().float() for key in gradients]) for values in (gradients, fast_gradients)
    )
    assert torch.cosine_similarity(one, other, dim=0) > 0.95
