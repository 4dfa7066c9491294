import sys

import av
import numpy as np
import pytest
from media_samples import (
    bursts,
    frame_numbers,
    numbered_frames,
    rotate_mp4,
    tone,
    write_mp4,
    write_sound,
)

from modeling_tacfn import media_decode
from modeling_tacfn.media import MediaError, NoAudioError, NoVideoError, read_audio, read_clip, resample


RATE = 48000
BURSTS = [0.0, 1.0, 2.0, 3.5]
WEBM = {"codec": "libvpx", "audio_codec": "libopus", "codec_options": {"deadline": "realtime", "cpu-used": "8"}}


def burst_seconds(waveform, rate) -> np.ndarray:
    loud = np.flatnonzero(np.abs(waveform) > 0.2)
    return loud[np.r_[True, np.diff(loud) > rate * 0.1]] / rate if len(loud) else loud / rate


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.mp4", {}),
        ("open_gop.mp4", {"codec_options": {"preset": "fast", "bf": "3", "g": "20", "x264-params": "open-gop=1"}}),
        ("clip.mkv", {}),
        ("browser.webm", WEBM | {"pipe": True, "format": "webm"}),
        ("browser.mkv", {"pipe": True, "format": "matroska"}),
        ("fragments.mp4", {"container_options": {"movflags": "frag_keyframe+delay_moov"}}),
        ("clip.mov", {"audio_codec": "pcm_s16le"}),
        ("clip.ts", {}),
        ("clip.avi", {"codec": "mpeg4", "audio_codec": "pcm_s16le"}),
    ],
)
def test_frames_and_sound_cover_the_same_span_in_any_container(tmp_path, recording, name, options):
    clip = read_clip(write_mp4(tmp_path / name, *recording, RATE, **options), num_frames=10)
    assert frame_numbers(clip.frames) == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]
    np.testing.assert_allclose(clip.frame_seconds, np.arange(10) * 0.4 + 0.2, atol=2e-3)
    assert clip.duration_seconds == pytest.approx(4.0, abs=2e-3)
    assert clip.sampling_rate == RATE
    assert len(clip.waveform) == round(clip.duration_seconds * RATE)
    assert clip.waveform.dtype == np.float32
    np.testing.assert_allclose(burst_seconds(clip.waveform, RATE), BURSTS, atol=2e-3)
    assert clip.source_size == (96, 64)


def test_flash_video(tmp_path):
    path = write_mp4(tmp_path / "c.flv", numbered_frames(50), bursts(2, [1.0], 44100), 44100, 25, "flv", "libmp3lame")
    clip = read_clip(path, num_frames=5)
    assert frame_numbers(clip.frames) == [5, 15, 25, 35, 45]
    # flash video cannot tell the delay of its mp3 encoder
    np.testing.assert_allclose(burst_seconds(clip.waveform, 44100), [1.0], atol=0.03)


def test_browser_recording_really_has_no_duration(tmp_path, recording):
    path = write_mp4(tmp_path / "browser.webm", *recording, RATE, **WEBM, pipe=True, format="webm")
    with av.open(str(path)) as container:
        assert container.duration is None
        assert container.streams.video[0].frames == 0


@pytest.mark.parametrize("num_frames", [1, 2, 7, 30, 99])
def test_frames_lie_at_the_midpoints_of_equal_parts(mp4, num_frames):
    clip = read_clip(mp4, num_frames, with_audio=False)
    expected = [int((i + 0.5) * 100 / num_frames + 1e-6) for i in range(num_frames)]
    assert frame_numbers(clip.frames) == expected
    assert clip.waveform is None
    assert clip.sampling_rate is None


@pytest.mark.parametrize("num_frames", [None, 100, 500])
def test_every_frame_once_where_the_file_has_no_more(mp4, num_frames):
    assert frame_numbers(read_clip(mp4, num_frames).frames) == list(range(100))


def test_variable_frame_rate_repeats_no_frame(tmp_path):
    seconds = [i / 100 for i in range(50)] + [1, 2, 3, 4, 5, 6, 7, 8, 9, 9.5]
    path = write_mp4(tmp_path / "v.mp4", numbered_frames(60), seconds=seconds)
    clip = read_clip(path, num_frames=20)
    numbers = frame_numbers(clip.frames)
    assert len(set(numbers)) == 20
    np.testing.assert_allclose(clip.frame_seconds, [seconds[n] for n in numbers], atol=1e-3)
    few = read_clip(path, num_frames=2)
    assert frame_numbers(few.frames) == [seconds.index(2), seconds.index(7)]


@pytest.mark.parametrize(("start", "end"), [(1.0, 2.0), (2.2, 2.5), (0.3, 0.4), (3.5, 9.0), (0.0, 0.1), (2.0, None)])
@pytest.mark.parametrize("kind", ["mp4", "webm", "ts"])
def test_window_is_that_part_of_the_whole(tmp_path, mp4, recording, kind, start, end):
    path = mp4
    if kind != "mp4":
        options = WEBM | {"pipe": True, "format": "webm"} if kind == "webm" else {}
        path = write_mp4(tmp_path / f"clip.{kind}", *recording, RATE, **options)
    whole = read_clip(path, None)
    clip = read_clip(path, None, start_seconds=start, end_seconds=end)
    stop = min(end or 4.0, 4.0)
    assert frame_numbers(clip.frames) == [n for n in range(100) if start - 1e-6 <= n / 25 < stop - 1e-6]
    assert clip.duration_seconds == pytest.approx(stop - start, abs=2e-3)
    assert len(clip.waveform) == pytest.approx((stop - start) * RATE, abs=100)
    part = burst_seconds(whole.waveform[round(start * RATE) : round(stop * RATE)], RATE)
    np.testing.assert_allclose(burst_seconds(clip.waveform, RATE), part, atol=2e-3)
    assert (clip.frame_seconds >= 0).all()


def test_windows_side_by_side_share_no_frame_and_leave_none_out(mp4):
    numbers = []
    for start in np.arange(0, 4, 0.5):
        numbers += frame_numbers(read_clip(mp4, None, start_seconds=start, end_seconds=start + 0.5).frames)
    assert numbers == list(range(100))


def test_window_between_two_frames_shows_what_is_on_the_screen(mp4):
    clip = read_clip(mp4, 30, start_seconds=1.005, end_seconds=1.02)
    assert frame_numbers(clip.frames) == [25]


def test_window_decodes_no_more_than_its_own_part(tmp_path, monkeypatch):
    """Twenty seconds, a keyframe a second: a window of one second must not decode the nineteen others."""
    path = write_mp4(tmp_path / "long.mp4", numbered_frames(200), fps=10, codec_options={"g": "10"})
    decoded = []
    take = media_decode._FrameCollector._take
    monkeypatch.setattr(media_decode._FrameCollector, "_take", lambda self, fs: take(self, decoded.extend(fs) or fs))
    clip = read_clip(path, None, start_seconds=15, end_seconds=16)
    assert frame_numbers(clip.frames) == list(range(150, 160))
    assert len(decoded) <= 20
    decoded.clear()
    assert frame_numbers(read_clip(path, 2).frames) == [50, 150]
    assert len(decoded) <= 20


@pytest.mark.parametrize(("start", "end"), [(4.0, None), (50, 60), (-1, 2), (2, 1), (2, 2), (float("nan"), None)])
def test_window_outside_is_refused(mp4, start, end):
    with pytest.raises(MediaError, match="clip.mp4.*(start_seconds)"):
        read_clip(mp4, start_seconds=start, end_seconds=end)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_of_phones_is_applied(tmp_path, degrees):
    frames = np.zeros((4, 64, 96, 3), np.uint8)
    frames[:, :16, :16] = (255, 0, 0)  # red at the top left
    path = rotate_mp4(write_mp4(tmp_path / "phone.mp4", frames), degrees)
    clip = read_clip(path)
    upright = np.rot90(frames, -degrees // 90, axes=(1, 2))
    assert clip.frames.shape == upright.shape
    assert clip.source_size == upright.shape[2:0:-1]
    assert np.abs(clip.frames.astype(int) - upright).mean() < 8


@pytest.mark.parametrize(
    ("name", "codec", "exact"),
    [
        ("a.m4a", "aac", True),
        ("a.mp3", "libmp3lame", True),
        ("a.ogg", "libopus", True),
        ("a.webm", "libopus", True),
        ("a.aac", "aac", False),  # raw AAC cannot tell its priming samples
    ],
)
def test_sound_files(tmp_path, recording, name, codec, exact):
    path = write_mp4(tmp_path / name, None, recording[1], RATE, audio_codec=codec)
    clip = read_clip(path)
    assert clip.frames is None
    assert clip.frame_seconds is None
    assert clip.source_size is None
    assert clip.duration_seconds == len(clip.waveform) / RATE
    if exact:
        assert len(clip.waveform) == 4 * RATE
    np.testing.assert_allclose(burst_seconds(clip.waveform, RATE), BURSTS, atol=2e-3 if exact else 0.03)
    part, rate = read_audio(path, 0.9, 2.1)
    assert rate == RATE
    np.testing.assert_allclose(burst_seconds(part, rate), [0.1, 1.1], atol=2e-3 if exact else 0.03)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_lossless_sound_is_exact(tmp_path, name):
    waveform = tone(0.5, 8000)
    path = write_sound(tmp_path / name, waveform, 8000)
    read, rate = read_audio(path)
    assert rate == 8000
    np.testing.assert_allclose(read, waveform, atol=1e-4)
    part, _ = read_audio(str(path), 0.1, 0.2)
    np.testing.assert_array_equal(part, read[800:1600])
    with pytest.raises(MediaError, match="lasts 0.500 s"):
        read_audio(path, 0.5)
    with pytest.raises(NoVideoError, match="only has sound"):
        read_clip(path, with_audio=False)


def test_lossless_sound_without_soundfile_is_the_same(tmp_path, monkeypatch):
    path = write_sound(tmp_path / "a.wav", np.stack([tone(0.5), tone(0.5, frequency=300)], axis=1))
    expected, _ = read_audio(path)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    read, rate = read_audio(path)
    assert rate == 16000
    np.testing.assert_allclose(read, expected, atol=1e-6)


def test_six_channels_at_96_khz_become_their_mean(tmp_path):
    channels = np.stack([tone(0.2, 96000, 200 * (i + 1)) for i in range(6)], axis=1)
    read, rate = read_audio(write_sound(tmp_path / "surround.wav", channels, 96000, "PCM_24"))
    assert rate == 96000
    np.testing.assert_allclose(read, channels.mean(axis=1), atol=1e-5)


@pytest.mark.parametrize("layout", ["stereo", "5.1", "6.1", "7.1", "hexadecagonal"])
def test_planar_sound_of_many_channels(tmp_path, layout):
    """PyAV 18.1 crashes the whole process on planar frames of eight channels."""
    channels = av.AudioLayout(layout).nb_channels
    samples = np.stack([tone(0.5, 48000, 300, 0.05 * (i + 1)) for i in range(channels)], axis=1)
    path = tmp_path / "surround.mka"
    with av.open(str(path), "w") as container:
        codec = "aac" if channels <= 8 else "pcm_f32le"
        stream = container.add_stream(codec, rate=48000, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "flt", layout)
        frame.sample_rate = 48000
        for piece in av.AudioResampler(stream.codec_context.format.name, layout, 48000, 1024).resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    read, _ = read_audio(path)
    expected = samples.mean(axis=1)
    length = 20000
    # the low-frequency channel loses the tone to the encoder, hence a level with some room
    assert np.corrcoef(read[:length], expected[:length])[0, 1] > 0.98
    assert np.std(read[:length]) / np.std(expected[:length]) == pytest.approx(1, abs=0.2)


def test_sound_of_64_bit_integers(tmp_path):
    path = tmp_path / "long.wav"
    waveform = tone(0.2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s64le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(waveform[None], "flt", "mono")
        frame.sample_rate = 16000
        for piece in av.AudioResampler("s64", "mono", 16000).resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(read_audio(path)[0], waveform, atol=1e-6)


def test_unusable_samples_never_come_out(tmp_path):
    waveform = tone(0.1)
    waveform[[3, 5, 7]] = np.nan, np.inf, 5.0
    read, _ = read_audio(write_sound(tmp_path / "bad.wav", waveform, subtype="FLOAT"))
    assert np.isfinite(read).all()
    assert np.abs(read).max() <= 1
    np.testing.assert_array_equal(read[[3, 5, 7]], [0, 0, 1])


def test_sound_shorter_than_the_video_is_padded(tmp_path):
    clip = read_clip(write_mp4(tmp_path / "c.mp4", numbered_frames(50), tone(1.0, RATE), RATE))
    assert len(clip.waveform) == 2 * RATE
    assert np.abs(clip.waveform[: RATE // 2]).max() > 0.2
    assert not clip.waveform[round(1.1 * RATE) :].any()


def test_sound_longer_than_the_video_is_cut(tmp_path):
    path = write_mp4(tmp_path / "c.mp4", numbered_frames(25), tone(3.0, RATE), RATE)
    assert len(read_clip(path).waveform) == RATE
    assert len(read_audio(path)[0]) == RATE


def test_hole_in_the_sound_keeps_what_follows_in_time(tmp_path):
    source = write_mp4(tmp_path / "whole.mkv", numbered_frames(100), bursts(4, [0.5, 3.0], RATE), RATE)
    path = tmp_path / "hole.mkv"
    with av.open(str(source)) as whole, av.open(str(path), "w") as holed:
        streams = {s.index: holed.add_stream_from_template(s) for s in whole.streams}
        for packet in whole.demux():
            if packet.dts is None or (packet.stream.type == "audio" and 1 < packet.pts * packet.time_base < 2):
                continue
            packet.stream = streams[packet.stream.index]
            holed.mux(packet)
    clip = read_clip(path)
    np.testing.assert_allclose(burst_seconds(clip.waveform, RATE), [0.5, 3.0], atol=2e-3)


def test_silent_track_is_a_track_and_none_is_none(tmp_path):
    silent = read_clip(write_mp4(tmp_path / "silent.mp4", numbered_frames(10), np.zeros(6400, np.float32)))
    assert silent.waveform is not None
    assert not silent.waveform.any()
    mute = write_mp4(tmp_path / "mute.mp4", numbered_frames(10))
    assert read_clip(mute).waveform is None
    with pytest.raises(NoAudioError, match="no sound track"):
        read_audio(mute)


def test_still_picture_lasts_as_long_as_its_sound(tmp_path):
    clip = read_clip(write_mp4(tmp_path / "still.mp4", numbered_frames(1), tone(2.0)))
    assert clip.frames.shape[0] == 1
    assert len(clip.waveform) == pytest.approx(32000, abs=1024)


def test_short_clip(tmp_path):
    clip = read_clip(write_mp4(tmp_path / "short.mp4", numbered_frames(5), tone(0.2, 8000), 8000))
    assert frame_numbers(clip.frames) == [0, 1, 2, 3, 4]
    assert (clip.sampling_rate, len(clip.waveform)) == (8000, 1600)


def test_tiny_odd_size(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (3, 7, 9, 3), dtype=np.uint8)
    clip = read_clip(write_mp4(tmp_path / "odd.mkv", frames, codec="ffv1"))
    assert clip.frames.shape == (3, 7, 9, 3)
    assert clip.source_size == (9, 7)


def test_colours_are_rgb(tmp_path):
    frames = np.zeros((3, 32, 32, 3), np.uint8)
    frames[..., 0] = 220
    red, green, blue = read_clip(write_mp4(tmp_path / "red.mp4", frames)).frames.mean(axis=(0, 1, 2))
    assert red > 180
    assert max(green, blue) < 40


def test_cover_art_is_no_video(tmp_path):
    from PIL import Image

    path, art = tmp_path / "song.mp4", tmp_path / "art.png"
    Image.new("RGB", (32, 32), "red").save(art)
    with av.open(str(path), "w") as song, av.open(str(art)) as picture:
        cover = song.add_stream_from_template(picture.streams.video[0])
        cover.disposition = av.stream.Disposition.attached_pic
        sound = song.add_stream("aac", rate=16000, layout="mono")
        for packet in picture.demux():
            if packet.dts is not None:
                packet.stream = cover
                song.mux(packet)
        frame = av.AudioFrame.from_ndarray(tone(1.0)[None], "fltp", "mono")
        frame.sample_rate = 16000
        for piece in av.AudioResampler("fltp", "mono", 16000, 1024).resample(frame):
            song.mux(sound.encode(piece))
        song.mux(sound.encode(None))
    with av.open(str(path)) as song:
        assert len(song.streams.video) == 1
    clip = read_clip(path)
    assert clip.frames is None
    assert len(clip.waveform) > 15000
    with pytest.raises(NoVideoError):
        read_clip(path, with_audio=False)


@pytest.mark.parametrize(
    ("source", "target"), [(48000, 44100), (8000, 44100), (44100, 16000), (22050, 44100), (11, 7)]
)
@pytest.mark.parametrize("length", [1, 2, 999, 12345])
def test_resampled_length_is_exact(source, target, length):
    resampled = resample(np.ones(length, np.float32), source, target)
    assert resampled.dtype == np.float32
    assert len(resampled) == round(length * target / source)


def test_resampled_tone_stays_the_same_tone():
    resampled = resample(tone(1, 48000, 440), 48000, 44100)
    np.testing.assert_allclose(resampled[500:-500], tone(1, 44100, 440)[500:-500], atol=2e-3)
    same = tone(0.1)
    assert resample(same, 16000, 16000) is not same
    assert resample(np.zeros(0, np.float32), 8000, 16000).shape == (0,)


def test_resample_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match=r"\(num_samples,\).*\(2, 100\)"):
        resample(np.zeros((2, 100), np.float32), 8000, 16000)
    for rates in ((0, 16000), (8000, -1), (8000.5, 16000)):
        with pytest.raises(ValueError, match="whole number of Hz"):
            resample(np.zeros(10, np.float32), *rates)


@pytest.mark.real_data
def test_ravdess_clips(real_data):
    paths = sorted((real_data / "ravdess/video_720p").glob("*/*.mp4"))
    assert len(paths) == 8
    for path in paths:
        clip = read_clip(path)
        assert clip.frames.shape == (30, 720, 1280, 3)
        assert np.diff(clip.frame_seconds).min() > 0.05
        assert clip.sampling_rate == 48000
        assert len(clip.waveform) == round(clip.duration_seconds * 48000)
        assert (np.abs(clip.waveform).max() < 1e-3) == path.name.startswith("02")


@pytest.mark.real_data
def test_crema_d_clip_is_the_same_in_both_containers(real_data):
    flash, mp4 = (read_clip(real_data / f"crema_d/1001_DFA_ANG_XX.{suffix}") for suffix in ("flv", "mp4"))
    assert flash.frames.shape == mp4.frames.shape == (30, 360, 480, 3)
    assert np.abs(flash.frames[15].astype(int) - mp4.frames[15]).mean() < 6
    assert flash.duration_seconds == pytest.approx(mp4.duration_seconds, abs=0.05)


@pytest.mark.real_data
def test_ravdess_sound_joins_its_video(real_data):
    sound, rate = read_audio(real_data / "ravdess/audio_speech/Actor_05/03-01-08-01-02-01-05.flac")
    clip = read_clip(real_data / "ravdess/video_720p/Actor_05/01-01-08-01-02-01-05.mp4", 1)
    assert rate == clip.sampling_rate
    # the same take, in another cut: one is found within the other
    length = min(len(sound), len(clip.waveform)) // 2
    piece = sound[length // 2 : length // 2 + length]
    correlation = np.fft.irfft(np.fft.rfft(clip.waveform, 2**18) * np.conj(np.fft.rfft(piece, 2**18)), 2**18)
    found = int(np.argmax(correlation))
    assert np.corrcoef(clip.waveform[found : found + length], piece)[0, 1] > 0.9
