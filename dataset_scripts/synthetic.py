# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""The synthetic corpus: real mp4 files (H.264 and AAC) of drawn faces and synthesised voices, made on the spot, free of rights.

It has the eight labels and the file names of RAVDESS, and people who differ in looks and voice, so unseen speakers are a real test. **Neither the
face nor the voice is enough, and both together are.** Some emotions share a face and some share a voice:

| alike in the face | alike in the voice |
|---|---|
| neutral, calm | neutral, disgust |
| angry, disgust | calm, sad |
| fearful, surprised | happy, surprised |
| | angry, fearful |

In `AMBIGUOUS_FACES` of the clips whose face has a double, the face shows the blend half-way between the two emotions, drawn the same for both; voices
likewise. Which clips are ambiguous is drawn independently for faces and voices. The other clips show and sound the emotion itself. No pair of
emotions stands in both columns, so whatever is ambiguous in one modality is told by the other, and an ambiguous face together with an ambiguous
voice still leaves one emotion. The best a perfect judge can do (`synthetic_takes.modality_ceiling`) is 71.9 % from faces, 65 % from voices and 100 % from both.

Make it with `python -m dataset_scripts.synthetic FOLDER --speakers 8`, or load it with `load_corpus("synthetic")`.
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import datasets
import numpy as np
from tqdm import tqdm

from .base import CorpusConfig, CorpusScan, EmotionCorpusBuilder
from .synthetic_drawing import FRAME_SIZE
from .synthetic_takes import FRAME_RATE, INTENSITIES, LABELS, Take, check_whole, perform_take, plan_takes
from .synthetic_voices import SAMPLING_RATE, STATEMENTS


_MANIFEST = "synthetic.json"
# Raised whenever the pictures or the sounds change, so that files of two versions never mix.
_VERSION = 1


def write_clip(path: str | os.PathLike, frames: Iterable[np.ndarray], waveform: np.ndarray) -> None:
    """Write pictures and sound as an mp4 file (H.264 and AAC), which appears only when it is complete.

    Args:
        path (`str` or `os.PathLike`): the file.
        frames (`Iterable[np.ndarray]`): pictures of shape `(288, 384, 3)`, uint8 RGB, 25 a second.
        waveform (`np.ndarray`): mono sound of shape `(samples,)` in [-1, 1] at 44.1 kHz; cut or padded to the length of the pictures.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The number of the process keeps two programs that make the same corpus out of each other's way.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with av.open(str(part), "w", format="mp4") as container:
            video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "veryfast", "crf": "21"})
            video.width, video.height = FRAME_SIZE
            video.pix_fmt = "yuv420p"
            # With one thread the same pictures give the same bytes.
            video.codec_context.thread_count = 1
            audio = container.add_stream("aac", rate=SAMPLING_RATE, layout="mono")
            audio.bit_rate = 96_000
            num_frames = 0
            for picture in frames:
                container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
                num_frames += 1
            container.mux(video.encode())
            num_samples = num_frames * SAMPLING_RATE // FRAME_RATE
            sound = np.zeros(num_samples, dtype=np.float32)
            sound[: min(len(waveform), num_samples)] = waveform[:num_samples]
            for start in range(0, num_samples, 1024):
                block = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], format="fltp", layout="mono")
                block.sample_rate, block.pts = SAMPLING_RATE, start
                container.mux(audio.encode(block))
            container.mux(audio.encode())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def is_complete(path: str | os.PathLike) -> bool:
    """Return whether a file is an mp4 with all of its picture and sound.

    Args:
        path (`str` or `os.PathLike`): the file.

    Returns:
        `bool`: `False` also for a file that is missing, cut short or something else.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video or not container.streams.audio:
                return False
            expected = {stream.index: stream.frames for stream in container.streams}
            counts = dict.fromkeys(expected, 0)
            for packet in container.demux():
                counts[packet.stream_index] += packet.size > 0
            return all(0 < expected[index] <= counts[index] for index in expected)
    except (av.FFmpegError, OSError, ValueError):
        return False


def _make_clip(folder: str, take: Take, seed: int) -> str:
    frames, speech = perform_take(take, seed)
    write_clip(Path(folder) / take.file_name, frames, speech.waveform)
    return take.clip_id


def _claim_folder(folder: Path, seed: int) -> None:
    """Make the folder this corpus's own, or refuse it."""
    manifest = {"corpus": "synthetic", "version": _VERSION, "seed": int(seed), "license": "CC0-1.0"}
    path = folder / _MANIFEST
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            f"Expected a folder for the synthetic corpus, but {folder} is a file. Give another path."
        )
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not JSON ({error}). Delete the folder, or give another one.") from None
        if found != manifest:
            raise ValueError(
                f"{folder} holds another synthetic corpus: expected {manifest}, found {found}. Give another folder."
            )
        return
    if any(folder.glob("**/*.mp4")):
        raise ValueError(
            f"{folder} holds mp4 files that are not of the synthetic corpus (no {_MANIFEST}). Give another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{_MANIFEST}.{os.getpid()}.part"
    part.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    os.replace(part, path)


def make_synthetic_corpus(
    out_dir: str | os.PathLike,
    num_speakers: int = 8,
    clips_per_speaker: int = 30,
    seed: int = 0,
    num_proc: int | None = None,
) -> Path:
    """Make the files of the synthetic corpus; files that are there and whole are kept.

    Args:
        out_dir (`str` or `os.PathLike`): folder of the corpus.
        num_speakers (`int`, *optional*, defaults to 8): 1 to 99.
        clips_per_speaker (`int`, *optional*, defaults to 30): 1 to 60.
        seed (`int`, *optional*, defaults to 0): the same seed gives the same files.
        num_proc (`int`, *optional*, defaults to `None`): processes; `None` takes one per core.

    Returns:
        `Path`: the folder.

    Raises:
        ValueError: If a number is out of range, or if the folder holds another corpus.
        NotADirectoryError: If `out_dir` is a file.
    """
    takes = plan_takes(num_speakers, clips_per_speaker, seed)
    if num_proc is not None:
        check_whole("num_proc", num_proc, 1, 1024)
    folder = Path(out_dir).expanduser().absolute()
    _claim_folder(folder, seed)
    missing = [take for take in takes if not is_complete(folder / take.file_name)]
    if not missing:
        return folder
    num_proc = min(num_proc or os.cpu_count() or 1, len(missing))
    bar = tqdm(total=len(missing), desc="Making the synthetic corpus", unit="clip", disable=None)
    # Forked workers would wait for OpenCV's threads, which only the parent has.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        if num_proc == 1:
            for take in missing:
                _make_clip(str(folder), take, seed)
                bar.update()
            return folder
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        with ProcessPoolExecutor(num_proc, mp_context=context) as pool:
            jobs = [pool.submit(_make_clip, str(folder), take, seed) for take in missing]
            try:
                for job in as_completed(jobs):
                    job.result()
                    bar.update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        cv2.setNumThreads(threads)
        bar.close()
    return folder


@dataclass
class SyntheticConfig(CorpusConfig):
    """Options of the synthetic corpus, those of `make_synthetic_corpus`."""

    num_speakers: int = 8
    clips_per_speaker: int = 30
    seed: int = 0


class Synthetic(EmotionCorpusBuilder):
    """Drawn faces and synthesised voices with eight emotions that only both modalities together tell surely.

    The files are made in `data_dir` where they are missing; without `data_dir`, in the cache of `datasets`.
    """

    BUILDER_CONFIG_CLASS = SyntheticConfig
    NAME = "synthetic"
    LABELS = LABELS
    LICENSE = "CC0-1.0"
    LICENSE_ID = "cc0-1.0"
    MAY_SHARE_MEDIA = True
    EXPECTED = "the synthetic corpus"
    HOW_TO_GET = "It is made on the spot; give a folder that can be written to."
    NUM_FOLDS = 4

    def scan(self, config: SyntheticConfig) -> CorpusScan:
        folder = (
            config.data_dir
            or Path(datasets.config.HF_DATASETS_CACHE) / f"tacfn-synthetic-v{_VERSION}-seed{config.seed}"
        )
        folder = make_synthetic_corpus(folder, config.num_speakers, config.clips_per_speaker, config.seed)
        found = CorpusScan()
        for take in plan_takes(config.num_speakers, config.clips_per_speaker, config.seed):
            path = folder / take.file_name
            found.files.append(path)
            found.rows.append(
                {
                    "clip_id": take.clip_id,
                    "video": str(path),
                    "label": take.emotion,
                    "label_raw": take.clip_id[6:8],
                    "intensity": INTENSITIES[take.intensity],
                    "speaker_id": f"{take.speaker:02d}",
                    "utterance_group": take.clip_id[3:],
                    "gender": "male" if take.speaker % 2 else "female",
                    "text": STATEMENTS[take.statement][0],
                }
            )
        return found


def main(arguments: list[str] | None = None) -> None:
    """Make the corpus from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dataset_scripts.synthetic",
        description="Make the synthetic corpus: mp4 files of drawn faces and synthesised voices. Run again to go on where it stopped.",
        epilog="example: python -m dataset_scripts.synthetic synthetic_corpus --speakers 8 --clips 30",
    )
    parser.add_argument("out_dir", help="folder of the corpus")
    parser.add_argument("--speakers", type=int, default=8, help="number of speakers, 1 to 99 (default: 8)")
    parser.add_argument("--clips", type=int, default=30, help="clips of each speaker, 1 to 60 (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same files (default: 0)")
    parser.add_argument("--num-proc", type=int, default=None, help="processes (default: one per core)")
    options = parser.parse_args(arguments)
    try:
        folder = make_synthetic_corpus(
            options.out_dir, options.speakers, options.clips, options.seed, options.num_proc
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{options.speakers * options.clips} clips of {options.speakers} speakers in {folder}")


if __name__ == "__main__":
    main()
