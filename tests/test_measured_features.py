"""What OpenFace and openSMILE write, as features of the rows of any corpus."""

import warnings

import datasets
import numpy as np
import pytest

from dataset_scripts import corpus_builder, load_corpus, measured_features
from dataset_scripts.measured_features import choose_columns, read_measurements
from modeling_tacfn.feature_arrays import mean_of_known
from modeling_tacfn.feature_tables import read_table


# Header and rows as the programs print them; the numbers are made up.
OPENFACE = """\
frame, face_id, timestamp, confidence, success, pose_Tx, AU01_r, AU02_r, AU01_c
1, 0, 0.000, 0.98, 1, 10.5, 0.10, 1.00, 1.00
2, 0, 0.033, 0.02, 0, 0, 0.00, 0.00, 0.00
3, 0, 0.067, 0.98, 1, 11.5, 0.30, 2.00, 0.00
"""
OPENFACE_MANY_FACES = """\
frame, face_id, timestamp, confidence, success, AU01_r
1, 0, 0.000, 0.98, 1, 5.0
1, 1, 0.000, 0.98, 1, 1.0
2, 1, 0.033, 0.98, 1, 3.0
"""
OPENSMILE_FUNCTIONALS = """\
name;frameTime;F0semitone_amean;loudness_amean
'ann_1.wav';0.000000;2.500000e+01;5.0e-01
'ann_2.wav';0.000000;3.500000e+01;7.0e-01
"""
OPENSMILE_FRAMES = "name;frameTime;loudness\n'unknown';0.0;1\n'unknown';0.01;2\n"
OPENSMILE_ARFF = """\
@relation openSMILE_features

@attribute name string
@attribute frameTime numeric
@attribute	F0semitone_amean	numeric
@attribute 'loudness amean' numeric
@attribute class numeric

@data

'ann_1',0.000000,2.5e+01,5.0e-01,?
% appended later
'bob_1',0.000000,3.0e+01,?,?
"""
OPENSMILE_PYTHON = """\
file,start,end,F0semitone_amean
/data/wav/ann_1.wav,0 days,0 days 00:00:02.2,25.0
/data/wav/ann_2.wav,0 days,0 days 00:00:03.1,35.0
"""


@pytest.fixture
def corpus(tmp_path):
    """Three clips of two people, a function that writes what was measured of them, and one that loads them."""

    class Corpus:
        folder = tmp_path / "mine"
        cache_dir = tmp_path / "cache"

        def write(self, name, text):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return path

        def load(self, path, **options):
            return load_corpus("folder", self.folder, self.cache_dir, features={"measured": {"path": path} | options})

    made = Corpus()
    made.write("metadata.csv", "file_name,label,speaker_id\nann_1.wav,sad,a\nann_2.wav,happy,a\nbob_1.wav,sad,b\n")
    for clip in ("ann_1", "ann_2", "bob_1"):
        made.write(f"{clip}.wav", "x")
    return made


def skipped(path, **options):
    noted = {}
    return read_measurements(path, skip=lambda item, reason: noted.update({str(item): reason}), **options), noted


def test_columns_by_name_and_pattern():
    available = ["frame", "confidence", "AU01_r", "AU02_r", "AU01_c", "pose_Tx"]
    assert choose_columns(available) == ["AU01_r", "AU02_r", "AU01_c", "pose_Tx"]
    assert choose_columns(available, "AU*_r") == ["AU01_r", "AU02_r"]
    assert choose_columns(available, ["*_c", "AU01_*", "confidence"]) == ["AU01_c", "AU01_r", "confidence"]
    with pytest.raises(ValueError, match=r"missing: AU99_r, gaze\*. There are: frame, "):
        choose_columns(available, ["AU01_r", "AU99_r", "gaze*"])


def test_a_folder_of_openface(corpus):
    for clip in ("ann_1", "ann_2", "bob_1"):
        corpus.write(f"openface/{clip}.csv", OPENFACE)
        corpus.write(f"openface/{clip}_of_details.txt", "Input:a video")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        means = corpus.load("openface", columns="AU*_*")
    assert means.features["features"] == {"measured": datasets.List(datasets.Value("float32"))}
    # The frame without a face counts for nothing.
    assert means[2]["features"]["measured"] == pytest.approx([0.2, 1.5, 0.5])
    steps = corpus.load("openface", columns=["AU02_r", "AU01_r"], reduce=None)
    assert steps.features["features"] == {"measured": datasets.List(datasets.List(datasets.Value("float32")))}
    np.testing.assert_allclose(steps[0]["features"]["measured"], [[1, 0.1], [np.nan, np.nan], [2, 0.3]], rtol=1e-6)


def test_prediction_reads_what_training_read(corpus):
    for name, text in (("a.csv", OPENFACE), ("b.csv", OPENFACE_MANY_FACES), ("c.csv", OPENSMILE_FRAMES)):
        path = corpus.write(f"out/{name}", text)
        measured = read_measurements(path, reduce=None)
        np.testing.assert_array_equal(measured.values[path.stem], read_table(path, measured.columns))
        mean = read_measurements(path).values[path.stem]
        np.testing.assert_array_equal(mean, mean_of_known(read_table(path, measured.columns)))
    path = corpus.write("functionals.arff", OPENSMILE_ARFF)
    np.testing.assert_array_equal(read_table(f"{path}#ann_1", ["loudness amean", "F0semitone_amean"]), [[0.5, 25]])
    path = corpus.write("functionals.csv", OPENSMILE_FUNCTIONALS)
    assert read_table(f"{path}#ann_2", ["F0semitone_amean"]).tolist() == [[35]]


def test_of_several_faces_the_one_in_most_frames(corpus):
    path = corpus.write("faces.csv", OPENFACE_MANY_FACES)
    assert read_measurements(path).values["faces"].tolist() == [2.0]


@pytest.mark.parametrize("text", [OPENSMILE_FUNCTIONALS, OPENSMILE_PYTHON])
def test_functionals_of_opensmile(corpus, text):
    path = corpus.write("egemaps.csv", text)
    with pytest.warns(UserWarning, match=r"bob_1: no measured in .*egemaps\.csv"):
        dataset = corpus.load("egemaps.csv", columns="F0*")
    assert {row["clip_id"]: row["features"]["measured"] for row in dataset} == {"ann_1": [25.0], "ann_2": [35.0]}
    assert read_measurements(path, "F0*").columns == ["F0semitone_amean"]


def test_arff_of_opensmile(corpus):
    path = corpus.write("egemaps.arff", OPENSMILE_ARFF)
    measured, noted = skipped(path)
    assert measured.columns == ["F0semitone_amean", "loudness amean"]
    assert measured.values["ann_1"].tolist() == [25.0, 0.5]
    assert noted == {f"bob_1 in {path}": "a value is not a finite number in any step (loudness amean)"}
    assert read_measurements(path, "F0*").values["bob_1"].tolist() == [30.0]


def test_one_file_of_opensmile_per_clip(corpus):
    for clip in ("ann_1", "ann_2", "bob_1"):
        corpus.write(f"smile/{clip}.csv", OPENSMILE_FRAMES)
    dataset = corpus.load("smile", reduce=None)
    assert dataset["features"][0]["measured"] == [[1.0], [2.0]]


def test_a_program_run_twice_writes_twice(corpus):
    path = corpus.write("smile.csv", OPENSMILE_FRAMES + "".join(OPENSMILE_FRAMES.splitlines(True)[1:]))
    measured, noted = skipped(path, reduce=None)
    assert measured.values["smile"].tolist() == [[1.0], [2.0]]
    assert noted == {f"smile in {path}": "2 of its lines repeat a time; the first of each is kept"}


def test_lines_that_cannot_be_used_are_named(corpus):
    text = "clip_id,x,y\na,1,2\na,3,4\nb,nan,2\nc,1,inf\nd,1\ne,much,1\nf,5,6\n"
    path = corpus.write("means.csv", text)
    measured, noted = skipped(path)
    assert {clip: values.tolist() for clip, values in measured.values.items()} == {"a": [1, 2], "f": [5, 6]}
    reasons = {item.rsplit(" ", 1)[1]: reason for item, reason in noted.items()}
    assert reasons["3"].startswith("a second line for a, the first is")
    assert reasons["4"] == "a value is not a finite number (x)"
    assert "column 'y', got 'inf'" in reasons["5"]
    assert "expected 3 cells in row 6, got 2" in reasons["6"]
    assert "column 'x', got 'much'" in reasons["7"]


def test_files_that_cannot_be_used_are_named(corpus):
    good = corpus.write("out/good.csv", OPENFACE)
    corpus.write("out/better.csv", OPENFACE)
    corpus.write("out/deep/good.csv", OPENFACE)
    corpus.write("out/.hidden.csv", OPENFACE)
    corpus.write("out/never.csv", OPENFACE.replace(", 1, 1", ", 0, 1"))
    corpus.write("out/few.csv", "frame, success, AU01_r\n1, 1, 2\n")
    corpus.write("out/none.csv", "frame, success\n1, 1\n")
    corpus.write("out/empty.csv", "")
    (good.parent / "binary.csv").write_bytes(bytes(range(256)))
    measured, noted = skipped(good.parent, columns="AU*")
    assert list(measured.values) == ["better", "deep/good", "good"]
    reasons = {item.rsplit("/", 1)[1]: reason for item, reason in noted.items()}
    assert set(reasons) == {"never.csv", "few.csv", "none.csv", "empty.csv", "binary.csv"}
    assert reasons["few.csv"] == "no column AU02_r, AU01_c, which other files have"
    assert "no step of never is known" in reasons["never.csv"]
    assert "missing: AU*" in reasons["none.csv"]


def test_a_path_without_measurements(corpus):
    with pytest.raises(FileNotFoundError, match="which does not exist"):
        corpus.load("nowhere")
    (corpus.folder / "bare").mkdir()
    with pytest.raises(FileNotFoundError, match=r"found no file \.csv"):
        corpus.load("bare")
    corpus.write("out/ann_1.csv", OPENFACE)
    with pytest.raises(ValueError, match=r"No table with the measurements asked for in .*missing: gaze\*"):
        corpus.load("out", columns="gaze*")
    with pytest.raises(ValueError, match="'mean' or null, which keeps every step, received 'median'"):
        corpus.load("out", reduce="median")


def test_measurements_of_other_clips(corpus):
    corpus.write("means.csv", "clip_id,x\nann_1,1\ncarl,2\ndora,3\n")
    with pytest.warns(UserWarning, match="skipped 3 of .* 1 clips remain") as caught:
        assert corpus.load("means.csv")["clip_id"][:] == ["ann_1"]
    assert "2 of the clips measured are not in the corpus: carl, dora" in str(caught[0].message)
    corpus.write("means.csv", "clip_id,x\ncarl,2\n")
    with pytest.raises(
        ValueError, match="named like the clips, such as ann_1, ann_2, bob_1, found in .* those of carl"
    ):
        corpus.load("means.csv")


@pytest.mark.parametrize("options", [{"columns": "*"}, {"path": "a", "column": "*"}, "a"])
def test_wrong_options_of_a_feature(corpus, options):
    with pytest.raises(ValueError, match="Expected the feature 'units' as a mapping with `path`"):
        load_corpus("folder", corpus.folder, corpus.cache_dir, features={"units": options})


@pytest.mark.filterwarnings("ignore:.*NOBODY IS KNOWN")
def test_names_in_folders_are_matched_by_their_last_part(corpus):
    (corpus.folder / "metadata.csv").unlink()
    for clip in ("sad/1.wav", "happy/2.wav", "happy/3.wav", "sad/3.wav"):
        corpus.write(f"clips/{clip}", "x")
    corpus.write("openface/1.csv", OPENFACE)
    corpus.write("openface/happy/2.csv", OPENFACE)
    corpus.write("openface/3.csv", OPENFACE)
    corpus.folder /= "clips"
    with pytest.warns(UserWarning, match="happy/3: no measured in"):
        dataset = corpus.load("../openface", columns="AU*")
    # Which of the two clips called 3 was measured cannot be known.
    assert dataset["clip_id"][:] == ["happy/2", "sad/1"]


def test_a_changed_measurement_changes_the_table(corpus):
    corpus.write("means.csv", "clip_id,x\nann_1,1\nann_2,1\nbob_1,1\n")
    assert corpus.load("means.csv")[0]["features"]["measured"] == [1.0]
    corpus.write("means.csv", "clip_id,x\nann_1,2\nann_2,1\nbob_1,1\n")
    assert corpus.load("means.csv")[0]["features"]["measured"] == [2.0]


def test_large_folders_are_read_once(corpus, monkeypatch):
    for clip in ("ann_1", "ann_2"):
        corpus.write(f"openface/{clip}.csv", OPENFACE)
    corpus.write("openface/bob_1.csv", "nothing")
    options = {"path": "openface", "columns": "AU*"}
    with pytest.warns(UserWarning, match="skipped 2 of .*bob_1.csv: .*at least one row") as first:
        steps = corpus.load(**options, reduce=None).to_list()
    with pytest.warns(UserWarning, match="skipped 2 of"):
        means = corpus.load(**options).to_list()
    with monkeypatch.context() as patched:
        patched.setattr(measured_features, "open_table", lambda path: pytest.fail("read again"))
        with pytest.warns(UserWarning, match="skipped 2 of") as again:
            np.testing.assert_equal(corpus.load(**options, reduce=None).to_list(), steps)
        assert str(again[0].message) == str(first[0].message)
        with pytest.warns(UserWarning, match="skipped 2 of"):
            assert corpus.load(**options).to_list() == means
    for path in (corpus.cache_dir / "measured").iterdir():
        path.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="skipped 2 of"):
        assert corpus.load(**options).to_list() == means
    corpus.write("openface/ann_1.csv", OPENFACE.replace("0.10", "0.30"))
    with pytest.warns(UserWarning, match="skipped 2 of"):
        assert corpus.load(**options)[0]["features"]["measured"][0] == pytest.approx(0.3)


def test_the_builder_knows_the_columns_for_the_processor(corpus):
    corpus.write("means.csv", "clip_id,x,y\nann_1,1,2\nann_2,1,2\nbob_1,1,2\n")
    features = {"one": {"path": "means.csv"}, "two": {"path": "means.csv", "columns": "y"}}
    builder = corpus_builder("folder")(data_dir=corpus.folder, cache_dir=corpus.cache_dir, features=features)
    assert builder.feature_columns == {"one": ["x", "y"], "two": ["y"]}
    assert builder.load()[0]["features"] == {"one": [1.0, 2.0], "two": [2.0]}
    stream = builder.as_streaming_dataset("train")
    assert next(iter(stream))["features"] == {"one": [1.0, 2.0], "two": [2.0]}


def test_units_of_the_picture_belong_to_the_sound_of_the_take(tmp_path):
    (tmp_path / "ravdess" / "openface").mkdir(parents=True)
    (tmp_path / "ravdess" / "03-01-05-02-01-01-01.wav").write_bytes(b"x")
    units = "clip_id," + ",".join(corpus_builder("ravdess_au").FEATURE_COLUMNS["action_units"])
    table = f"{units}\n01-01-05-02-01-01-01,{','.join(['0.5'] * 35)}\n"
    (tmp_path / "ravdess" / "openface_au_mean.csv").write_text(table)
    (tmp_path / "ravdess" / "openface" / "01-01-05-02-01-01-01.csv").write_text(OPENFACE)
    features = {"pose": {"path": "openface", "columns": "pose_*"}}
    row = load_corpus("ravdess_au", tmp_path / "ravdess", tmp_path / "cache", features=features)[0]
    assert row["features"] == {"action_units": [0.5] * 35, "pose": [11.0]}
    with pytest.raises(ValueError, match="a feature 'action_units' of its own"):
        load_corpus(
            "ravdess_au", tmp_path / "ravdess", tmp_path / "cache", features={"action_units": {"path": "openface"}}
        )


@pytest.mark.real_data
def test_the_published_units_by_the_option(real_data, tmp_path):
    folder = real_data / "ravdess"
    own = load_corpus("ravdess_au", folder, tmp_path)
    features = {"units": {"path": "openface_au_mean.csv", "columns": ["AU*_r", "AU*_c"]}}
    both = load_corpus("ravdess_au", folder, tmp_path, features=features)
    assert both["clip_id"][:] == own["clip_id"][:]
    assert [row["units"] for row in both["features"]] == [row["action_units"] for row in own["features"]]
