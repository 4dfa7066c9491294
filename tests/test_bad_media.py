"""Files that are cut short, damaged, hostile or no media at all: a clear error, or what is left of them with a warning."""

import sys
import warnings

import av
import numpy as np
import pytest
from media_samples import (
    frame_numbers,
    numbered_frames,
    tone,
    write_mp4,
)

from modeling_tacfn import media_decode, media_scan
from modeling_tacfn.media import MediaError, read_audio, read_clip


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cut.mp4", {"container_options": {"movflags": "faststart"}}),
        ("cut.mkv", {}),
        ("cut.flv", {"codec": "flv", "audio_codec": "libmp3lame"}),
    ],
)
def test_truncated_file_gives_what_is_there_and_says_so(tmp_path, name, options):
    rng = np.random.default_rng(0)  # noise makes every frame weigh the same
    frames = rng.integers(0, 255, (100, 64, 96, 3), dtype=np.uint8)
    path = write_mp4(tmp_path / name, frames, tone(4, 44100), 44100, **options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(UserWarning, match=rf"{name}: cut short, only \d+\.\d+ of 4\.\d+ s"):
        clip = read_clip(path, None)
    assert 20 < len(clip.frames) < 75
    assert clip.duration_seconds == pytest.approx(len(clip.frames) / 25, abs=0.1)
    assert len(clip.waveform) == round(clip.duration_seconds * 44100)


def test_whole_file_gives_no_warning(mp4):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_clip(mp4)
        read_clip(mp4, start_seconds=1, end_seconds=2)


def test_damaged_packets_are_left_out_with_a_warning(tmp_path):
    path = write_mp4(tmp_path / "d.mkv", numbered_frames(40), codec="mjpeg", codec_options={"strict": "-2"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.dts is not None]
        pieces = [bytes(p) for p in packets]
    where = data.index(pieces[20])
    data[where : where + len(pieces[20])] = bytes(len(pieces[20]))
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="1 damaged packets"):
        clip = read_clip(path, None)
    assert frame_numbers(clip.frames) == [n for n in range(40) if n != 20]


def test_truncated_before_its_index_is_refused(mp4, tmp_path):
    data = mp4.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match="cut.mp4.*cut short.*convert"):
        read_clip(path)


def test_what_is_no_media_file_is_refused(tmp_path, mp4):
    text = tmp_path / "text.mp4"
    text.write_text("this is no film\n" * 100)
    with pytest.raises(MediaError, match="text.mp4.*not media at all"):
        read_clip(text)
    (tmp_path / "text.wav").write_text("this is no sound\n" * 100)
    with pytest.raises(MediaError, match="text.wav.*not media at all"):
        read_audio(tmp_path / "text.wav")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(MediaError, match="zero bytes"):
        read_clip(tmp_path / "empty.mp4")
    with pytest.raises(MediaError, match="folder"):
        read_clip(tmp_path)
    with pytest.raises(MediaError, match="nothing is there"):
        read_clip(tmp_path / "missing.mp4")
    with pytest.raises(MediaError, match="nothing is there"):
        read_clip("http://example.com/clip.mp4")


@pytest.mark.parametrize("suffix", ["m3u8", "mp4", "txt"])
def test_playlist_cannot_open_other_files(tmp_path, mp4, suffix):
    playlist = tmp_path / f"list.{suffix}"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{mp4}\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaError):
        read_clip(playlist)
    playlist.write_text(f"ffconcat version 1.0\nfile {mp4.name}\n")
    with pytest.raises(MediaError):
        read_clip(playlist)


def test_media_by_the_wrong_name_is_read_all_the_same(tmp_path, mp4):
    path = tmp_path / "clip.wav"
    path.write_bytes(mp4.read_bytes())
    assert read_clip(path).frames.shape[0] == 30


@pytest.mark.parametrize("path", [None, 3, b"clip.mp4", ["clip.mp4"], np.zeros(3)])
def test_only_paths_are_taken(path):
    with pytest.raises(TypeError, match="str or Path"):
        read_clip(path)


@pytest.mark.parametrize("num_frames", [0, -1, 2.5, True])
def test_number_of_frames_is_checked(mp4, num_frames):
    with pytest.raises(ValueError, match="num_frames"):
        read_clip(mp4, num_frames)
    with pytest.raises(ValueError, match="Nothing to read"):
        read_clip(mp4, with_video=False, with_audio=False)


def test_huge_frames_and_clips_are_refused(mp4, monkeypatch):
    monkeypatch.setattr(media_decode, "MAX_PIXELS_PER_FRAME", 96 * 64 - 1)
    with pytest.raises(MediaError, match="96x64 pixels.*smaller"):
        read_clip(mp4)
    monkeypatch.undo()
    monkeypatch.setattr(media_scan, "MAX_CLIP_BYTES", 50 * 96 * 64 * 3)
    with pytest.raises(MediaError, match="100 frames would take.*start_seconds"):
        read_clip(mp4, None)
    assert len(read_clip(mp4, 30, with_audio=False).frames) == 30


def test_broken_time_stamp_is_no_day_of_silence(tmp_path):
    path = write_mp4(tmp_path / "jump.mkv", numbered_frames(4), tone(0.1), seconds=[0, 0.04, 0.08, 90_000])
    with pytest.raises(MediaError, match="jump.mkv.*jump by 900.. s.*window before"):
        read_clip(path)
    assert frame_numbers(read_clip(path, None, end_seconds=0.1).frames) == [0, 1, 2]


def test_random_damage_never_raises_anything_but_media_errors(mp4, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(60):
        data = bytearray(mp4.read_bytes())
        first = 0 if number % 2 else len(data) - 2500  # the index lies at the end
        for place in rng.integers(first, len(data), 10):
            data[place] = rng.integers(256)
        path = tmp_path / "damaged.mp4"
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                clip = read_clip(path, 5)
            except MediaError:
                continue
        assert clip.waveform is None or np.isfinite(clip.waveform).all()
        assert clip.frames is None or len(clip.frames) == len(clip.frame_seconds) <= 5


def test_missing_reader_names_the_package(mp4, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match="pip install av"):
        read_clip(mp4)
