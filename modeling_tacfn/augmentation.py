"""What training does to the clips of a batch: one draw per clip, the same for all its frames."""

import math
from dataclasses import dataclass, field, fields

import numpy as np
import torch

from .data import feature_statistics, modality_masks
from .modeling_av_common import prefix_mask
from .pixels import mix_pairs


@dataclass
class Augmentation:
    """
    The strength of every part; 0 switches it off.

    Args:
        flip (`float`): probability of mirroring the frames.
        zoom (`float`): the frames are scaled by a factor within 1 ± zoom and moved by up to that share of their size.
        rotation (`float`): largest rotation of the frames in degrees.
        brightness (`float`): the pixels are scaled by a factor within 1 ± brightness.
        audio_crop (`int`): steps of the random piece of the sound that is kept; 0 keeps all of it.
        tempo (`float`): the piece is played at a tempo within 1 ± tempo.
        frequency_shift (`float`): largest shift over mel bins, as from another vocal tract; they are stretched by up to
            5 % as well.
        gain (`float`): standard deviation of the change of a log-mel's level, in units of the training spread.
        tilt (`float`): the same for a slope over the mel bins, the difference from first to last.
        time_masks, time_mask_size (`int`): SpecAugment masks over audio steps, and their largest size in steps.
        frequency_masks, frequency_mask_size (`int`): the same over coefficients or mel bins.
        feature_noise (`float`): Gaussian noise on static features, in units of their spread over the training speakers.
        feature_dropout (`float`): probability that a single number of a static feature becomes its training mean.
        feature_exchange (`dict[str, float]`): for a named feature, the probability that a clip's comes from another training
            clip of the same class and intensity: what a face says and what a voice says vary independently in an emotion.
        speaker_shift (`float`): sound and static features are moved from their speaker's mean towards that of another
            training speaker, by a share drawn between 0 and this.
        modality_dropout (`float`): probability that a clip loses one of its modalities.
        mixup (`float`): Beta(mixup, mixup) mixing of pairs of clips and their labels.
        mixup_probability (`float`, defaults to 1): share of the clips that are mixed, if `mixup` is above 0.
    """

    flip: float = 0.0
    zoom: float = 0.0
    rotation: float = 0.0
    brightness: float = 0.0
    audio_crop: int = 0
    tempo: float = 0.0
    frequency_shift: float = 0.0
    gain: float = 0.0
    tilt: float = 0.0
    time_masks: int = 0
    time_mask_size: int = 0
    frequency_masks: int = 0
    frequency_mask_size: int = 0
    feature_noise: float = 0.0
    feature_dropout: float = 0.0
    feature_exchange: dict[str, float] = field(default_factory=dict)
    speaker_shift: float = 0.0
    modality_dropout: float = 0.0
    mixup: float = 0.0
    mixup_probability: float = 1.0

    @classmethod
    def from_dict(cls, values: dict | None) -> "Augmentation":
        """Build from a mapping; an unknown name is an error that lists the known ones."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values or {}) - known)
        if unknown:
            raise ValueError(f"Unknown augmentation {unknown}; the known ones are {sorted(known)}.")
        return cls(**(values or {}))


class Augmenter:
    """
    Draws for the batches of one training run, made from what the training clips look like.

    In the training process draws follow each other from the epoch's seed on. In processes that make batches for it, what a batch draws
    is a function of that seed and of its first clip, which no other batch of an epoch has: however many there are, and in whichever
    order they work, it is the same.

    Args:
        options ([`Augmentation`]): the strengths.
        training (`list[dict]`): the training samples, each with its prepared `clip`, `label`, `intensity` and `speaker`.
    """

    def __init__(self, options: Augmentation, training: list[dict]):
        self.options = options
        clips = [sample["clip"] for sample in training]
        arrays = sorted({name for clip in clips for name in clip if name != "crops"})
        self.statistics = {name: tensors(feature_statistics(clips, name)) for name in arrays}
        self.alike: dict[tuple, list[dict]] = {}
        for sample in training:
            self.alike.setdefault(kind(sample), []).append(sample)
        if options.speaker_shift:
            members: dict[str, list[dict]] = {}
            for sample in training:
                members.setdefault(sample["speaker"], []).append(sample["clip"])
            self.speakers = {speaker: index for index, speaker in enumerate(members)}
            self.speaker_means = {
                name: torch.stack([self._speaker_mean(own, name) for own in members.values()]) for name in arrays
            }
        # Shared, so that processes which make batches see the seed of the epoch that has begun meanwhile.
        self.epoch_seed = torch.zeros((), dtype=torch.int64).share_memory_()
        self.seed(0)

    def _speaker_mean(self, clips: list[dict], name: str) -> torch.Tensor:
        """Mean of one array over a speaker's clips; that of everybody where the speaker has none of it."""
        mean = self.statistics[name][0]
        if not any(name in clip for clip in clips):
            return mean
        own = tensors(feature_statistics(clips, name))[0]
        return torch.where(own.isfinite(), own, mean)

    def seed(self, seed: int) -> None:
        """Make the draws of the coming batches a function of `seed` and their clips alone."""
        self.epoch_seed.fill_(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.mixing = np.random.default_rng(seed)

    def begin(self, samples: list[dict]) -> None:
        """Start the draws of one batch of `samples`."""
        if torch.utils.data.get_worker_info() is None:
            return
        sequence = np.random.SeedSequence([int(self.epoch_seed), samples[0]["index"]])
        self.generator = torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
        self.mixing = np.random.default_rng(sequence)

    def exchange_features(self, samples: list[dict]) -> list[dict]:
        """Give some clips a named feature of another clip of their kind; `owners` says whose features a sample now has."""
        samples = [sample | {"owners": {}} for sample in samples]
        for name, probability in self.options.feature_exchange.items():
            exchanged = self._uniform(0, 1, len(samples)) < probability
            draws = self._uniform(0, 1, len(samples)).tolist()
            for index in exchanged.nonzero().flatten().tolist():
                sample, array = samples[index], f"feature/{name}"
                others = self.alike[kind(sample)]
                other = others[int(draws[index] * len(others))]
                if array in sample["clip"] and array in other["clip"]:
                    sample["clip"] = sample["clip"] | {array: other["clip"][array]}
                    sample["owners"][name] = other["speaker"]
        return samples

    def __call__(self, batch: dict, samples: list[dict]) -> None:
        """Change the padded `batch` of `samples` in place; what is drawn for the pixels is left for [`finish_pixels`]."""
        options = self.options
        if options.speaker_shift:
            self._shift_speakers(batch, samples)
        if "input_features" in batch:
            batch["input_features"], batch["audio_mask"] = self._sound(batch["input_features"], batch["audio_mask"])
        if "crops" in batch:
            batch["crops"] |= self._frames(len(samples))
        for name, values in batch.get("features", {}).items():
            mask = batch["feature_masks"][name]
            if values.ndim > 2:
                continue
            mean, spread = self.statistics[f"feature/{name}"]
            if options.feature_noise:
                values = values + options.feature_noise * spread * torch.randn(values.shape, generator=self.generator)
            if options.feature_dropout:
                dropped = self._uniform(0, 1, *values.shape) < options.feature_dropout
                values = torch.where(dropped, mean, values)
            batch["features"][name] = values * mask
        if options.modality_dropout:
            self._drop_modalities(batch)

    def _uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def _shift_speakers(self, batch: dict, samples: list[dict]) -> None:
        """Move every clip towards how another speaker sounds and looks on average; both modalities the same way."""
        share = self._uniform(0, self.options.speaker_shift, len(samples), 1)
        target = torch.randint(len(self.speakers), (len(samples),), generator=self.generator)

        def shift(array, name=None):
            means = self.speaker_means[array]
            own = [self.speakers[sample["owners"].get(name, sample["speaker"])] for sample in samples]
            return share * (means[target] - means[own])

        if "input_features" in batch:
            moved = batch["input_features"] + shift("input_features")[:, None]
            batch["input_features"] = moved * batch["audio_mask"][..., None]
        for name, values in batch.get("features", {}).items():
            if values.ndim == 2:
                moved = values + shift(f"feature/{name}", name)
                batch["features"][name] = moved * batch["feature_masks"][name]

    def _sound(self, values: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        options = self.options
        mean, spread = self.statistics["input_features"]
        lengths, (batch, _, coefficients) = mask.sum(1), values.shape
        if options.audio_crop or options.tempo:
            rate = self._uniform(1 - options.tempo, 1 + options.tempo, batch)
            kept = (lengths / rate).long().clamp(min=1, max=options.audio_crop or None).minimum(lengths)
            start = self._uniform(0, 1, batch) * (lengths - kept * rate).clamp(min=0)
            position = start[:, None] + rate[:, None] * torch.arange(int(kept.max()))
            position = position.long().minimum((lengths - 1).clamp(min=0)[:, None])
            values = values.gather(1, position[..., None].expand(-1, -1, coefficients))
            lengths, mask = kept, prefix_mask(kept, values.shape[1])
        if options.frequency_shift:
            stretch = self._uniform(0.95, 1.05, batch, 1)
            shift = self._uniform(-options.frequency_shift, options.frequency_shift, batch, 1)
            bins = (stretch * torch.arange(coefficients) + shift).clamp(0, coefficients - 1)
            lower = bins.long().clamp(max=coefficients - 2)
            below, above = (
                values.gather(2, index[:, None].expand(-1, values.shape[1], -1)) for index in (lower, lower + 1)
            )
            values = torch.lerp(below, above, (bins - lower)[:, None])
        if options.gain or options.tilt:
            level, slope = torch.randn(2, batch, 1, 1, generator=self.generator)
            ramp = torch.linspace(-0.5, 0.5, coefficients)
            values = values + spread * (options.gain * level + options.tilt * slope * ramp)
        for _ in range(options.frequency_masks):
            sizes = torch.full((batch,), coefficients)
            hidden = self._interval(sizes, options.frequency_mask_size, coefficients)[:, None]
            values = torch.where(hidden, mean, values)
        for _ in range(options.time_masks):
            hidden = self._interval(lengths, options.time_mask_size, values.shape[1])[..., None]
            values = torch.where(hidden, mean, values)
        return values * mask[..., None], mask

    def _interval(self, sizes: torch.Tensor, longest: int, width: int) -> torch.Tensor:
        """For each clip a random run of at most `longest` of its `sizes[b]` places, as a mask `(batch, width)`."""
        length = (self._uniform(0, 1, len(sizes)) * (sizes.clamp(max=longest) + 1)).long()
        start = (self._uniform(0, 1, len(sizes)) * (sizes - length + 1)).long()
        place = torch.arange(width)
        return (place >= start[:, None]) & (place < (start + length)[:, None])

    def _frames(self, batch: int) -> dict[str, torch.Tensor]:
        """What is drawn for the pixels: `moves` `(batch, 2, 3)` and `brightness` `(batch,)`, each if it is switched on."""
        options, drawn = self.options, {}
        if options.flip or options.zoom or options.rotation:
            drawn["moves"] = self._moves(batch)
        if options.brightness:
            drawn["brightness"] = self._uniform(1 - options.brightness, 1 + options.brightness, batch)
        return drawn

    def _moves(self, batch: int) -> torch.Tensor:
        """Flip, zoom, shift and rotate: one affine map per clip."""
        options = self.options
        mirror = 1 - 2 * (self._uniform(0, 1, batch) < options.flip).float()
        scale = self._uniform(1 - options.zoom, 1 + options.zoom, batch)
        angle = self._uniform(-options.rotation, options.rotation, batch) * math.pi / 180
        shift = self._uniform(-options.zoom, options.zoom, batch, 2)
        rows = [
            torch.stack([mirror * scale * angle.cos(), -scale * angle.sin(), shift[:, 0]], dim=1),
            torch.stack([mirror * scale * angle.sin(), scale * angle.cos(), shift[:, 1]], dim=1),
        ]
        return torch.stack(rows, dim=1)

    def _drop_modalities(self, batch: dict) -> None:
        """Hide one modality of some clips, never the last one that a clip has."""
        masks = modality_masks(batch)
        dropped = self._uniform(0, 1, len(batch["labels"])) < self.options.modality_dropout
        chosen = torch.randint(len(masks), dropped.shape, generator=self.generator)
        present = torch.stack([mask.any(1) for mask in masks])
        for index, mask in enumerate(masks):
            others = present.sum(0) - present[index].long() > 0
            mask[dropped & (chosen == index) & others] = False

    def mix(self, batch: dict) -> dict:
        """Mixup: clips are mixed with another one of their batch, inputs and label shares alike; masks are united."""
        options = self.options
        if not options.mixup:
            return batch
        size = len(batch["labels"])
        share = self.mixing.beta(options.mixup, options.mixup, size)
        share = np.maximum(share, 1 - share)  # a clip stays the larger part of itself
        share[self.mixing.random(size) >= options.mixup_probability] = 1
        share = torch.from_numpy(share).float()
        partner = torch.from_numpy(self.mixing.permutation(size))

        def mixed(values):
            if isinstance(values, dict):
                return {name: mixed(value) for name, value in values.items()}
            return mix_pairs(values, partner, share)

        kept = {name: batch[name] for name in ("index", "crops") if name in batch}
        if "crops" in kept:
            kept["crops"] |= {"partner": partner, "share": share}
        return {name: mixed(values) for name, values in batch.items() if name not in kept} | kept


def kind(sample: dict) -> tuple:
    return sample["label"], sample["intensity"]


def tensors(arrays: tuple[np.ndarray, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(array) for array in arrays)


__all__ = ["Augmentation", "Augmenter"]
