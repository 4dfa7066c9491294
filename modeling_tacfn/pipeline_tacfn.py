# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""`transformers.pipeline` from clips to emotions: files, URLs or arrays in, labels and scores out."""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info
from transformers import Pipeline

from .media import MediaError
from .memory import return_freed_memory
from .prediction import answers_of, is_emotion_processor, speaker_statistics
from .threads import close_threads_of_opencv, take_one_thread


try:
    from huggingface_hub.utils import httpx  # whichever httpx it brings along
except ImportError:
    import httpx


TASK = "audio-visual-emotion-recognition"
CLIP_KEYS = (
    "video",
    "audio",
    "features",
    "sampling_rate",
    "start_seconds",
    "end_seconds",
    "audio_offset_seconds",
    "frame_region",
)
DOWNLOAD_TIMEOUT_SECONDS = 30
_NOT_GIVEN = object()
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


class AudioVisualEmotionPipeline(Pipeline):
    r"""
    Emotions of clips with any network of this package, `pipeline("audio-visual-emotion-recognition", model=…)`.

    A clip is one of

    - the path of a video or sound file (`str` or `Path`), or its URL (`http://…`, `https://…`, or `hf://datasets/owner/name/file` on
      the Hub, read with one's login);
    - a `dict` of what `processor.read` takes: `video` and `audio`, each a path, a URL or an array (`audio` also
      `False`: leave the sound out), `features` by name, `sampling_rate` of a waveform in Hz, `start_seconds` and
      `end_seconds` of files, `audio_offset_seconds`, `frame_region`.

    Any modality of any clip may be absent, and what is said of a clip does not depend on the batch it is in.

    Args:
        model, processor, device, dtype, batch_size, num_workers: as [`~transformers.pipeline`] takes them.
        speaker (`str`, `Path` or `list`, *optional*): what a speaker-normalised network has to know of the person in the
            clips: the file that `tacfn adapt` wrote, or unlabelled clips of the person. Read once, here.
        top_k (`int`, *optional*, defaults to 5): how many labels to answer with, as in transformers' video classification;
            `None` for all.

    Raises:
        ValueError: no processor, or a speaker that cannot be used.

    Example:

    ```python
    >>> import numpy as np
    >>> from transformers import pipeline
    >>> from modeling_tacfn import TacfnConfig, TacfnModel, TacfnProcessor

    >>> config = TacfnConfig(feature_sizes={"audio": 13, "units": 17}, hidden_size=16, num_attention_heads=4)
    >>> processor = TacfnProcessor(do_video=False)
    >>> pipe = pipeline("audio-visual-emotion-recognition", model=TacfnModel(config), processor=processor, device="cpu")
    >>> voice = np.random.default_rng(0).normal(0, 0.1, 44100)
    >>> answer = pipe({"audio": voice, "sampling_rate": 44100}, top_k=3)
    >>> len(answer), sorted(answer[0])
    (3, ['label', 'score'])

    ```
    """

    _load_processor = True
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, model, processor=None, **kwargs):
        if processor is None:
            raise ValueError(
                "expected `processor` beside the network, got none. Take AutoProcessor.from_pretrained of the folder that "
                "the network came from."
            )
        if not is_emotion_processor(processor):
            raise ValueError(
                f"expected a network of this package with its processor, as `tacfn push` or train.py leaves them, got a "
                f"{type(model).__name__} with a {type(processor).__name__}. Check the name of the model."
            )
        super().__init__(model=model, processor=processor, **kwargs)
        self.model.eval()  # one that was just trained would answer by dropout and batch statistics

    def __call__(self, inputs, **kwargs):
        """
        Say which emotions clips show.

        Args:
            inputs: a clip, or several: a list or tuple, a `Dataset` of torch or of `datasets`, a generator.
            speaker (`str`, `Path` or `list`, *optional*): as above, for this call. Read once. An empty list: nobody known.
            top_k (`int`, *optional*): as above, for this call.
            batch_size (`int`, *optional*, defaults to 1): how many clips the network is given at a time.
            num_workers (`int`, *optional*, defaults to 0): how many processes, with a thread each, read the next clips while the
                network answers these. OpenCV is left with one thread in this process too.

        Returns:
            `list[dict]`: `label` and `score`, a probability (or the estimate of a number), of each emotion, most likely first. A list of these for a list
            or tuple of clips; anything else that holds several is gone through as the answers are asked for.

        Raises:
            MediaError: a clip cannot be downloaded or read, or nothing of it can be used; names the file or URL.
            ValueError: an input of the wrong form, or clips of the speaker are needed.
        """
        if isinstance(inputs, (list, tuple)):
            return super().__call__(list(inputs), **kwargs) if inputs else []
        is_clip = isinstance(inputs, (str, bytes, os.PathLike, Mapping, np.ndarray, torch.Tensor))
        if isinstance(inputs, Iterable) and not (is_clip or isinstance(inputs, Dataset)):
            inputs = (clip for clip in inputs)  # of all that can be gone through, the base class knows generators
        return super().__call__(inputs, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs) -> None:
        """
        Save the network and its processor, with the code that travels with them.

        The pipeline's own code is not among it: a folder that names a pipeline of its own can be used by `pipeline` with
        `trust_remote_code` only, even where this package is installed.

        Args:
            save_directory (`str` or `Path`): folder to make or fill.
            kwargs: as the `save_pretrained` of a network takes them.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)

    def _sanitize_parameters(self, speaker=None, top_k=_NOT_GIVEN):
        forward, postprocess = {}, {}
        if speaker is not None:
            forward["statistics"] = self._statistics_of(speaker)
        if top_k is not _NOT_GIVEN:
            if top_k is not None and not (isinstance(top_k, int) and top_k > 0):
                raise ValueError(f"expected `top_k` of at least 1, or None for all labels, got {top_k!r}.")
            postprocess["top_k"] = top_k
        return {}, forward, postprocess

    def _statistics_of(self, speaker) -> dict | None:
        if isinstance(speaker, (str, os.PathLike)):
            return speaker_statistics(self.processor, None, speaker)
        if not isinstance(speaker, (list, tuple)):
            raise ValueError(
                "expected as `speaker` the file that `tacfn adapt` wrote, or a list of clips of the person, got "
                f"{type(speaker).__name__}."
            )
        with ExitStack() as files:
            clips = [files.enter_context(_read_arguments(clip)) for clip in speaker]
            return speaker_statistics(self.processor, clips)

    @cached_property
    def _statistics_of_nobody(self) -> dict | None:
        """What is usual of speakers. Asked for by the first clip of an unknown speaker, since only that is worth a warning."""
        return speaker_statistics(self.processor, None)

    def get_iterator(self, inputs, num_workers: int, *arguments):
        # The workers may be forks.
        if num_workers and self.processor.do_video:
            close_threads_of_opencv()
        if num_workers:
            # What a fork shares has to be copied when it is written to, and kept memory is written to by the next batch.
            return_freed_memory()
        return super().get_iterator(inputs, num_workers, *arguments)

    def preprocess(self, clip) -> dict:
        if get_worker_info() is not None and self.processor.do_video:
            take_one_thread()
        with _read_arguments(clip) as arguments:
            return {"clip": self.processor.read(**arguments)}

    def _forward(self, inputs: dict, statistics: dict | None = None) -> dict:
        # The base class makes lists of what it cannot pad, and the processor pads better: it knows what may be absent.
        clips = inputs["clip"] if isinstance(inputs["clip"], list) else [inputs["clip"]]
        batch = self.processor.batch(clips, device=self.device, speaker=statistics or self._statistics_of_nobody)
        return {"logits": self.model(**batch.to(self.device, dtype=self.dtype)).logits}

    def postprocess(self, outputs: dict, top_k: int | None = 5) -> list[dict]:
        answers = answers_of(outputs["logits"][0].float(), self.model.config.problem_type)
        scores, indices = answers.topk(min(top_k or len(answers), len(answers)))
        labels = self.model.config.id2label
        return [
            {"label": labels[index], "score": score}
            for index, score in zip(indices.tolist(), scores.tolist(), strict=True)
        ]


@contextmanager
def _read_arguments(clip) -> Iterator[dict]:
    """What `processor.read` takes of a clip; what is at a URL lies in a temporary file until the block ends."""
    arguments = {"video": clip} if isinstance(clip, (str, os.PathLike)) else clip
    if not isinstance(arguments, Mapping):
        raise ValueError(
            f"expected a clip as a path, a URL or a dict with some of {', '.join(CLIP_KEYS)}, got "
            f"{type(clip).__name__}. Give a waveform as {{'audio': array, 'sampling_rate': rate}}, frames as {{'video': array}}."
        )
    unknown = sorted(str(key) for key in arguments if key not in CLIP_KEYS)
    if unknown:
        raise ValueError(
            f"expected a clip with some of {', '.join(CLIP_KEYS)}, got {', '.join(unknown)} as well. Leave out or rename what "
            "is no input."
        )
    with ExitStack() as files:
        yield {
            key: files.enter_context(_downloaded(value)) if _is_url(value) else value
            for key, value in arguments.items()
        }


def _is_url(value) -> bool:
    scheme = _SCHEME.match(value) if isinstance(value, str) else None
    if scheme and scheme[1].lower() not in ("http", "https", "hf"):
        raise MediaError(
            f"{value}: expected a path, or a URL of http, https or hf, got one of {scheme[1]}; give the path of a copy."
        )
    return scheme is not None


def _download(url: str, path: str) -> None:
    with (
        httpx.stream("GET", url, follow_redirects=True, timeout=DOWNLOAD_TIMEOUT_SECONDS) as response,
        open(path, "wb") as file,
    ):
        response.raise_for_status()
        for part in response.iter_bytes():
            file.write(part)


@contextmanager
def _downloaded(url: str) -> Iterator[str]:
    """A temporary file of what is at a URL; an error in reading the file names the URL instead."""
    with tempfile.TemporaryDirectory(prefix="tacfn-") as folder:
        try:
            # The suffix stays: sound files are read by it.
            path = os.path.join(folder, "clip" + Path(urlsplit(url).path).suffix)
            if url.lower().startswith("hf://"):
                from huggingface_hub import HfFileSystem  # imports fsspec

                HfFileSystem().get_file(url[len("hf://") :], path)
            else:
                _download(url, path)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise MediaError(
                f"{url}: expected a video or sound file to download, but none came ({reason}). Check the URL and the "
                "connection, or give the path of a copy."
            ) from error
        try:
            yield path
        except MediaError as error:
            raise MediaError(str(error).replace(path, url)) from error


__all__ = ["TASK", "AudioVisualEmotionPipeline"]
