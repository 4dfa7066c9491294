"""IEMOCAP from a tree laid out as the licensed release is."""

import numpy as np
import pytest
from media_samples import draw_face, tone, write_mp4, write_sound

from dataset_scripts import corpus_folds, load_corpus, split_indices
from dataset_scripts import iemocap as iemocap_module
from dataset_scripts.iemocap import parse_summary_line
from modeling_tacfn.image_processing_tacfn import TacfnImageProcessor
from modeling_tacfn.preparation import clip_key, prepare_clip
from modeling_tacfn.processing_tacfn import TacfnProcessor


HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
RATERS = "C-E2:\tNeutral;\t()\nC-F1:\tNeutral; Frustration;\t(cold [1 - 2])\nA-E3:\tval 3; act 2; dom  2;\t()\n\n"


class Release:
    """Writes dialogues of IEMOCAP_full_release, one utterance a second."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, path, content):
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("latin-1") if isinstance(content, str) else content)

    def add(self, dialog, *utterances, video=True, wavs=True, more=""):
        session = f"Session{dialog[4]}"
        summaries, transcripts = HEADER, ""
        for second, (number, code) in enumerate(utterances):
            name = f"{dialog}_{number}"
            summaries += f"[{second}.2500 - {second + 1}.0000]\t{name}\t{code}\t[2.5000, 3.0000, 1.6667]\r\n{RATERS}"
            transcripts += f"{name} [{second:03d}.2500-{second + 1:03d}.0000]: It's {code}, caf\xe9.\n"
            if wavs:
                self.write(f"{session}/sentences/wav/{dialog}/{name}.wav", "RIFF")
        self.write(f"{session}/dialog/EmoEvaluation/{dialog}.txt", summaries + more)
        # What annotators wrote between the utterances.
        self.write(f"{session}/dialog/transcriptions/{dialog}.txt", transcripts + "M: (sniff)\n[LAUGHTER]\n\n")
        if video:
            self.write(f"{session}/dialog/avi/DivX/{dialog}.avi", "RIFF")

    def load(self, **options):
        return load_corpus("iemocap", self.folder, cache_dir=self.folder.parent / "cache", **options)


@pytest.fixture
def release(tmp_path):
    return Release(tmp_path / "IEMOCAP_full_release")


def test_summary_line():
    utterance = parse_summary_line("[6.2901 - 8.2357]\tSes01F_script02_1_M000\tneu\t[2.5000, 3.0000, 1.6667]\r\n")
    assert (utterance.dialog, utterance.session, utterance.letter) == ("Ses01F_script02_1", "Ses01", "M")
    assert utterance.columns()["targets"] == [2.5, 3.0, 1.6667]
    assert utterance.columns()["gender"] == "male"


@pytest.mark.parametrize(
    "line",
    [
        "[6.2901 - 8.2357]",
        "[8.2 - 8.2]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]",
        "[6.2 - 8.2]\tSes09F_impro01_F000\tneu\t[2.5, 2.5, 2.5]",
        "[6.2 - 8.2]\tSes01F_impro01_X000\tneu\t[2.5, 2.5, 2.5]",
        "[6.2 - 8.2]\tSes01F_impro01_F000\tneu\t[2.5, 2.5]",
        "[6.2.1 - 8.2]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]",
        "[6.2 - 8.2]\t../Ses01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]",
    ],
)
def test_lines_that_are_no_summary(line):
    with pytest.raises(ValueError, match="^Expected"):
        parse_summary_line(line)


def test_rows(release):
    release.add("Ses01F_impro01", ("F000", "neu"), ("M000", "exc"), ("M001", "fru"), ("F001", "xxx"))
    release.add("Ses02M_script01_1b", ("F000", "sad"), ("MXX0", "ang"))
    release.write("Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt", b"\x00\x05\x16\x07")
    release.write(
        "Session1/dialog/EmoEvaluation/Categorical/Ses01F_impro01_e2_cat.txt", "Ses01F_impro01_F000 :Anger; ()"
    )
    dataset = release.load()
    names = dataset.features["label"].names
    assert [names[label] for label in dataset["label"]] == ["neutral", "happy", "sad", "angry"]
    assert dataset["label_raw"][:] == ["neu", "exc", "sad", "ang"]
    # Who speaks is the letter of the utterance; the letter of the dialogue is who wears the markers.
    assert dataset["speaker_id"][:] == ["Ses01F", "Ses01M", "Ses02F", "Ses02M"]
    assert dataset["gender"][:] == ["female", "male", "female", "male"]
    assert dataset["session_id"][:] == ["Ses01", "Ses01", "Ses02", "Ses02"]
    # The wearer of the markers is on the left.
    assert [region[0] for region in dataset["frame_region"]] == [0.0, 0.5, 0.5, 0.0]
    row = dataset[1]
    assert row["video"].endswith("Session1/dialog/avi/DivX/Ses01F_impro01.avi")
    assert row["audio"].endswith("Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav")
    assert (row["start_seconds"], row["end_seconds"], row["audio_offset_seconds"]) == (1.25, 2.0, 1.25)
    assert row["text"] == "It's exc, caf\xe9."
    assert row["targets"] == pytest.approx([2.5, 3.0, 1.6667])
    assert "no redistribution" in row["license"]


def test_excited_may_be_dropped(release):
    release.add("Ses01F_impro01", ("F000", "hap"), ("M000", "exc"))
    assert release.load()["label_raw"][:] == ["hap", "exc"]
    assert release.load(excited="dropped")["label_raw"][:] == ["hap"]
    with pytest.raises(ValueError, match="excited to be 'merged' or 'dropped', received 'both'"):
        release.load(excited="both")


def test_folds_by_session_and_by_speaker(release):
    for session in (1, 3, 4):
        release.add(f"Ses0{session}F_impro01", ("F000", "neu"), ("M000", "ang"))
    dataset = release.load()
    assert corpus_folds(dataset) == [[f"Ses0{session}F", f"Ses0{session}M"] for session in (1, 3, 4)]
    assert split_indices(dataset, 1)["test"] == [2, 3]
    dataset = release.load(folds="speaker")
    assert corpus_folds(dataset)[:2] == [["Ses01F"], ["Ses01M"]]
    assert len(corpus_folds(dataset)) == 6


def test_odd_lines_and_missing_files_are_named(release):
    bad = "[3.0 - 4.0\tSes01F_impro01_F009\tneu\n[3.0 - 4.0]\tSes01F_impro02_F000\tneu\t[2, 2, 2]\n"
    release.add("Ses01F_impro01", ("F000", "neu"), ("M000", "ang"), more=bad)
    release.add("Ses01F_impro03", ("F000", "sad"), wavs=False)
    release.write("Session1/dialog/avi/DivX/Ses01F_impro01.avi", b"")
    with pytest.warns(UserWarning, match="skipped 4 of") as caught:
        dataset = release.load()
    message = str(next(item.message for item in caught if "skipped" in str(item.message)))
    assert "line 13: not the summary" in message
    assert "line 14: Ses01F_impro02_F000 is of another dialogue" in message
    assert "Ses01F_impro03_F000.wav: no sound file" in message
    assert "Ses01F_impro01.avi: the file is empty: its utterances have sound alone" in message
    assert dataset["video"][:] == dataset["frame_region"][:] == [None, None]
    assert dataset["clip_id"][:] == ["Ses01F_impro01_F000", "Ses01F_impro01_M000"]


def test_without_videos_and_transcripts_there_is_sound(release):
    release.add("Ses01F_impro01", ("F000", "neu"), video=False)
    (release.folder / "Session1/dialog/transcriptions/Ses01F_impro01.txt").unlink()
    with pytest.warns(UserWarning, match="no videos"):
        row = release.load()[0]
    assert (row["video"], row["frame_region"], row["text"]) == (None, None, None)


def test_the_folder_may_be_the_one_around_the_release(release):
    release.add("Ses01F_impro01", ("F000", "neu"))
    assert len(load_corpus("iemocap", release.folder.parent, cache_dir=release.folder.parent / "cache")) == 1
    with pytest.raises(FileNotFoundError, match=r"Session1 to Session5.*on request at https://sail\.usc\.edu/iemocap"):
        load_corpus("iemocap", release.folder / "Session1", cache_dir=release.folder.parent / "cache")


def test_five_sessions_are_compared_with_the_published_numbers(release, monkeypatch, recwarn):
    for session in range(1, 6):
        release.add(f"Ses0{session}F_impro01", ("F000", "neu"), ("M000", "ang"), ("M001", "xxx"))
    release.load()
    message = " ".join(str(item.message) for item in recwarn)
    assert "5 instead of 1708 neu" in message
    assert "0 instead of 595 hap" in message
    recwarn.clear()
    monkeypatch.setattr(iemocap_module, "PUBLISHED_COUNTS", {"neu": 5, "ang": 5, "xxx": 5})
    release.load(excited="dropped")
    assert not recwarn.list


def test_published_counts_sum_to_the_published_totals():
    counts = iemocap_module.PUBLISHED_COUNTS
    assert sum(counts.values()) == 10039
    assert sum(counts[code] for code in iemocap_module.LABEL_OF) == 5531
    assert 5531 - counts["exc"] == 4490


def test_each_speaker_is_read_from_his_half_and_his_own_sound(release):
    """A dialogue of 720 x 480 with a bright face on the left and a small one on the right, three seconds long."""
    release.add("Ses01M_impro01", ("F000", "neu"), ("M000", "ang"), ("F001", "sad"))
    left = draw_face(480, 360, (180, 240), 200)
    right = draw_face(480, 360, (200, 220), 130)[..., ::-1]
    frames = np.repeat(np.concatenate([left, right], axis=1)[None], 30, axis=0)
    folder = release.folder / "Session1"
    write_mp4(
        folder / "dialog/avi/DivX/Ses01M_impro01.avi",
        frames,
        tone(3, 16000, 200),
        fps=10,
        codec="mpeg4",
        audio_codec="pcm_s16le",
    )
    for name, frequency in (("F000", 500), ("M000", 700), ("F001", 900)):
        path = folder / f"sentences/wav/Ses01M_impro01/Ses01M_impro01_{name}.wav"
        write_sound(path, tone(0.75, 16000, frequency), 16000)
    processor = TacfnProcessor(image_processor=TacfnImageProcessor(num_frames=3, size=64))
    rows = release.load().to_list()
    woman, man, woman_again = (prepare_clip(row, processor) for row in rows)
    inputs = processor.read(
        rows[2]["video"],
        rows[2]["audio"],
        start_seconds=2.25,
        end_seconds=3.0,
        audio_offset_seconds=2.25,
        frame_region=rows[2]["frame_region"],
        keep_frames=True,
    )
    assert inputs.frames.shape == (3, 480, 360, 3)
    assert np.abs(inputs.frames[0].astype(int) - right).mean() < 4
    assert inputs.boxes[0].mean() == pytest.approx(210, abs=25)
    # The sentence's own file is read from its beginning, not from where the sentence begins in the dialogue.
    spectrum = np.abs(np.fft.rfft(inputs.waveform))
    assert spectrum.argmax() / (len(inputs.waveform) / inputs.sampling_rate) == pytest.approx(900, abs=5)
    assert len(inputs.waveform) / inputs.sampling_rate == pytest.approx(0.75, abs=0.01)
    skin = [clip["crops"][0, 28:36, 28:36].reshape(-1, 3).mean(0) for clip in (woman, man, woman_again)]
    assert skin[0][2] > skin[0][0] + 20  # her picture was drawn with blue and red exchanged
    assert skin[1][0] > skin[1][2] + 20
    assert np.abs(skin[0] - skin[2]).max() < 5
    keys = {clip_key(row, "") for row in rows + [rows[0] | {"frame_region": [0.0, 0.0, 1.0, 1.0]}]}
    assert len(keys) == 4
