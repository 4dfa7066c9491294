# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""RAVDESS as sound and facial action units: the recordings of the voice, and OpenFace's units averaged over each clip.

The action units are those published with Luna-Jiménez et al., Applied Sciences 2022, 12(1):327. The picture is one vector
per clip here, not a sequence of frames. https://doi.org/10.3390/app12010327
"""

from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np

from modeling_tacfn.feature_tables import open_table

from .base import AUDIO_SUFFIXES, CorpusScan, walk
from .measured_features import read_measurements
from .ravdess import (
    AUDIO_ONLY,
    AUDIO_VIDEO,
    HOW_TO_GET,
    Ravdess,
    RavdessConfig,
    group_performances,
    parse_ravdess_name,
)


UNITS_FILE = "openface_au_mean.csv"
_MEASURED = ("01", "02", "04", "05", "06", "07", "09", "10", "12", "14", "15", "17", "20", "23", "25", "26", "45")
_SEEN = (*_MEASURED[:-1], "28", "45")
# Intensities from 0 to 5, then presences from 0 to 1; OpenFace tells of unit 28 only whether it is there.
ACTION_UNIT_COLUMNS = [f"AU{unit}_r" for unit in _MEASURED] + [f"AU{unit}_c" for unit in _SEEN]


@dataclass
class RavdessAuConfig(RavdessConfig):
    """Options: `channel`, `folds`; `audio_dir` and `units_csv`, where sound and units do not lie in the same folder."""

    audio_dir: str | None = None
    units_csv: str | None = None


def read_action_units(path: Path, scan: CorpusScan) -> dict[str, np.ndarray]:
    """Read the action units of each performance; columns are found by their names, in any order.

    Args:
        path (`Path`): CSV file with a column `clip_id` and those of `ACTION_UNIT_COLUMNS`.
        scan (`CorpusScan`): takes the lines that cannot be used.

    Returns:
        `dict[str, np.ndarray]`: the 35 values of each performance, in the order of `ACTION_UNIT_COLUMNS`.

    Raises:
        ValueError: If a column is missing.
    """
    if "clip_id" not in open_table(path).columns:
        raise ValueError(f"Expected a column clip_id and the action units of its clips in {path}, missing: clip_id.")
    measured = read_measurements(path, ACTION_UNIT_COLUMNS, skip=scan.skip, what="an action unit")
    units: dict[str, np.ndarray] = {}
    for clip, values in measured.values.items():
        try:
            performance = parse_ravdess_name(clip).performance
        except ValueError:
            scan.skip(measured.places[clip], "not a RAVDESS name and its action units")
            continue
        if units.setdefault(performance, values) is not values:
            scan.skip(measured.places[clip], f"a second line for {clip}")
    return units


class RavdessAu(Ravdess):
    """The voice of each performance of RAVDESS paired with its 35 action units (`features["action_units"]`).

    Reads an extracted folder tree of recordings (wav or flac) and `openface_au_mean.csv`, joined on the last six fields of
    the name. `RavdessAu(data_dir=..., audio_dir=None, units_csv=None, channel="speech")`.
    """

    BUILDER_CONFIG_CLASS = RavdessAuConfig
    NAME = "ravdess_au"
    HOW_TO_GET = HOW_TO_GET
    EXPECTED = f"RAVDESS sound files named like Actor_01/03-01-05-02-01-01-01.wav and {UNITS_FILE}"
    FEATURE_TYPES = {"action_units": datasets.List(datasets.Value("float32"))}
    FEATURE_COLUMNS = {"action_units": ACTION_UNIT_COLUMNS}

    def scan(self, config: RavdessAuConfig) -> CorpusScan:
        scan = CorpusScan()
        units_csv = self.units_file(config)
        scan.files.append(units_csv)
        units = read_action_units(units_csv, scan)
        audio_dir = self.corpus_folder(RavdessAuConfig(data_dir=config.audio_dir or config.data_dir))
        recordings = group_performances(scan, scan.find_files(audio_dir, AUDIO_SUFFIXES), config.channel)

        for performance in sorted(recordings, key=lambda fields: (fields[-2:], fields)):
            audio = recordings[performance][AUDIO_ONLY]
            if performance not in units:
                scan.skip(audio, f"no action units for {AUDIO_VIDEO}-{performance} in {units_csv.name}")
                continue
            scan.rows.append(
                {
                    "clip_id": audio.stem,
                    "audio": str(audio),
                    "features": {"action_units": units[performance]},
                    **parse_ravdess_name(f"{AUDIO_VIDEO}-{performance}").columns(),
                }
            )
        present = {parse_ravdess_name(f"{AUDIO_VIDEO}-{performance}").channel for performance in recordings}
        for performance in units:
            if performance not in recordings and performance[:2] in present:
                scan.skip(f"{AUDIO_VIDEO}-{performance} in {units_csv}", "no sound file")
        self.set_folds(scan.rows, config.folds)
        return scan

    def units_file(self, config: RavdessAuConfig) -> Path:
        """The file of action units: the one named, or the only one under the folder of the corpus."""
        if config.units_csv is not None:
            path = Path(config.units_csv).expanduser().absolute()
            if not path.is_file():
                raise FileNotFoundError(
                    f"Expected the action units of RAVDESS in {path}, which is not a file. {self.HOW_TO_GET}"
                )
            return path
        folder = self.corpus_folder(config)
        found = [path for path in walk(folder) if path.name == UNITS_FILE]
        if len(found) != 1:
            received = "none" if not found else ", ".join(map(str, sorted(found)))
            raise FileNotFoundError(
                f"Expected one {UNITS_FILE} in {folder}, found {received}. Name the file with the option `units_csv`."
            )
        return found[0]
