"""CREMA-D: names, tables, choice of files and labels, folds, and what is published broken."""

import shutil
import warnings
from collections import Counter

import pytest

from dataset_scripts import load_corpus, split_indices
from dataset_scripts.crema_d import (
    BROKEN_TAKES,
    LABELS,
    PUBLISHED_TAKES,
    SENTENCES,
    check_counts,
    demographics,
    folds_of_actors,
    parse_crema_d_name,
    read_votes,
)


# As the corpus lays them out: R's row names in an unnamed first column, text in quotes. The people are made up.
DEMOGRAPHICS = """\
"ActorID","Age","Sex","Race","Ethnicity"
1001,40,"Male","Caucasian","Not Hispanic"
1002,30,"Female","Asian","Hispanic"
1003,20,"Female","Unknown","Not Hispanic"
"""
SUMMARY = """\
"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","MultiModalLevel"
"1","1001_IEO_NEU_XX","N","69.1","N","92.22","N","64.78"
"2","1001_IEO_SAD_HI","N","60.14","A:F","30.67:51.00","S","63.5"
"3","1002_IEO_ANG_MD","A:D","37.2:58.6","A","45.5","D","44.2"
"4","1002_DFA_FEA_XX","D:F","81.33:63.67","F","70.33","A:F:S","67:67:67"
"""
TABULATED = """\
"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote","meanEmoResp"
"100001",0,0,0,1,10,0,"1001_IEO_NEU_XX",11,0.909090909090909,"N",71.7
"200001",2,0,2,0,0,1,"1001_IEO_SAD_HI",5,0.4,"A:F",41.2
"300001",0,0,0,0,1,8,"1001_IEO_SAD_HI",9,0.888888888888889,"S",63.5
"""
POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 123456\n"
)
TAKES = ("1001_IEO_NEU_XX", "1001_IEO_SAD_HI", "1002_IEO_ANG_MD", "1002_DFA_FEA_XX")


@pytest.fixture
def corpus(tmp_path):
    """A checkout with four takes, and a function that loads it."""

    class Corpus:
        folder = tmp_path / "CREMA-D"

        def add(self, *names, content=b"x"):
            for name in names:
                path = self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

        def load(self, **options):
            return load_corpus("crema_d", self.folder, cache_dir=tmp_path / "cache", **options)

    made = Corpus()
    for take in TAKES:
        made.add(f"VideoFlash/{take}.flv", f"AudioMP3/{take}.mp3", f"AudioWAV/{take}.wav")
    made.add("VideoDemographics.csv", content=DEMOGRAPHICS.encode())
    made.add("processedResults/summaryTable.csv", content=SUMMARY.encode())
    return made


def test_parse_every_field():
    name = parse_crema_d_name("1040_IEO_SAD_LO")
    assert (name.actor, name.sentence, name.emotion, name.level) == ("1040", "IEO", "SAD", "LO")
    assert parse_crema_d_name("1001_dfa_Ang_xx").take == "1001_DFA_ANG_XX"
    assert parse_crema_d_name("1040_ITH_SAD_X").take == "1040_ITH_SAD_XX"


@pytest.mark.parametrize(
    "stem",
    ["1001_DFA_ANG", "1001_DFA_ANG_XXX", "1001_XXX_ANG_XX", "1001_DFA_CAL_XX", "001_DFA_ANG_XX", "2001_DFA_ANG_XX", "", "1001_DFA_ANG_XX (1)", "1001_DFA_ANG_XX\n", "1٠٠1_DFA_ANG_XX"],
)  # fmt: skip
def test_names_outside_the_grammar(stem):
    with pytest.raises(ValueError, match="Expected actor_sentence_emotion_level"):
        parse_crema_d_name(stem)


def test_one_row_per_take(corpus):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        dataset = corpus.load()
    assert dataset["clip_id"][:] == sorted(TAKES)
    row = dataset[1]
    assert row["video"] == str(corpus.folder / "VideoFlash" / "1001_IEO_SAD_HI.flv")
    assert row["audio"] == str(corpus.folder / "AudioWAV" / "1001_IEO_SAD_HI.wav")
    assert {
        key: row[key] for key in ("label", "label_raw", "intensity", "speaker_id", "utterance_group", "gender")
    } == {
        "label": LABELS.index("sad"),
        "label_raw": "SAD",
        "intensity": "high",
        "speaker_id": "1001",
        "utterance_group": "1001_IEO_SAD_HI",
        "gender": "male",
    }
    assert row["text"] == "It's eleven o'clock"
    assert row["license"].startswith("ODbL 1.0")
    assert dataset["intensity"][0] is None
    split_indices(dataset, 0, validation_speakers=0)


@pytest.mark.parametrize(
    ("files", "video", "audio"),
    [
        (["a/{}.mp4"], ".mp4", None),
        (["a/{}.mp4", "b/{}.flv"], ".flv", None),
        (["{}.flv", "{}.mp3"], ".flv", None),
        (["{}.flv", "{}.wav", "{}.mp3"], ".flv", ".wav"),
        (["{}.mp3"], None, ".mp3"),
        (["{}.mp3", "{}.flac"], None, ".flac"),
    ],
)
def test_which_files_are_taken(corpus, files, video, audio):
    shutil.rmtree(corpus.folder)
    corpus.add("VideoDemographics.csv", content=DEMOGRAPHICS.encode())
    corpus.add(*(name.format("1003_WSI_HAP_XX") for name in files))
    row = corpus.load()[0]
    assert (row["video"] and row["video"][-4:], row["audio"] and row["audio"][row["audio"].rindex(".") :]) == (
        video,
        audio,
    )


def test_names_in_other_letters_are_the_same_take(corpus):
    corpus.add(
        "AudioWAV/1040_ITH_SAD_X.wav", "VideoFlash/1040_ith_sad_xx.flv", "copy/1040_ITH_SAD_XX.wav", "other.wav"
    )
    with pytest.warns(UserWarning, match="skipped 2 of") as caught:
        rows = {row["clip_id"]: row for row in corpus.load()}
    assert "the same recording as" in str(caught[0].message)
    assert "other.wav: the name is not one of CREMA-D" in str(caught[0].message)
    row = rows["1040_ITH_SAD_XX"]
    assert (row["audio"][-5:], row["video"][-6:]) == ("X.wav", "xx.flv")


def test_published_broken_takes_are_left_out(corpus):
    for take in BROKEN_TAKES:
        corpus.add(f"VideoFlash/{take}.flv", f"AudioWAV/{take}.wav")
    with pytest.warns(UserWarning, match="skipped 4 of .*1064_IEO_DIS_MD: published broken: a minute"):
        assert len(corpus.load()) == 4


@pytest.mark.parametrize(
    ("modality", "labels", "tied"),
    [
        ("multimodal", {"1001_IEO_NEU_XX": "neutral", "1001_IEO_SAD_HI": "sad", "1002_IEO_ANG_MD": "disgust"}, 1),
        ("voice", {"1001_IEO_NEU_XX": "neutral", "1001_IEO_SAD_HI": "neutral"}, 2),
        ("face", {"1001_IEO_NEU_XX": "neutral", "1002_IEO_ANG_MD": "angry", "1002_DFA_FEA_XX": "fearful"}, 1),
    ],
)
def test_perceived_labels(corpus, modality, labels, tied):
    with pytest.warns(UserWarning, match=f"left out {tied} of 4 takes, whose {modality} votes tie"):
        dataset = corpus.load(label="perceived", modality=modality)
    assert {row["clip_id"]: LABELS[row["label"]] for row in dataset} == labels
    assert set(map(len, dataset["label_raw"])) == {1}


def test_votes_of_the_other_table(corpus, tmp_path):
    path = tmp_path / "tabulatedVotes.csv"
    path.write_text(TABULATED)
    assert read_votes(path, "voice") == {"1001_IEO_NEU_XX": "N"}
    assert read_votes(path, "face") == {"1001_IEO_SAD_HI": "A:F"}
    with pytest.warns(UserWarning, match="1002_IEO_ANG_MD: no multimodal vote of it"):
        assert corpus.load(label="perceived", votes=str(path))["clip_id"][:] == ["1001_IEO_SAD_HI"]


def test_votes_that_cannot_be_read(corpus, tmp_path):
    with pytest.raises(ValueError, match="'multimodal', 'voice', 'face', received 'audio'"):
        corpus.load(label="perceived", modality="audio")
    with pytest.raises(ValueError, match="'intended' or 'perceived', received 'seen'"):
        corpus.load(label="seen")
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="columns FileName, MultiModalVote in .*found a, b"):
        corpus.load(label="perceived", votes=str(tmp_path / "wrong.csv"))
    (tmp_path / "pointer.csv").write_bytes(POINTER)
    with pytest.raises(ValueError, match="git lfs pull"):
        corpus.load(label="perceived", votes=str(tmp_path / "pointer.csv"))
    (corpus.folder / "processedResults" / "summaryTable.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"Expected summaryTable\.csv or tabulatedVotes\.csv"):
        corpus.load(label="perceived")


def test_git_lfs_pointers(corpus):
    # `git lfs pull --include AudioWAV`, and nothing else of the media.
    for take in TAKES:
        corpus.add(f"VideoFlash/{take}.flv", f"AudioMP3/{take}.mp3", content=POINTER)
    with pytest.warns(UserWarning, match="skipped 8 of .*git-LFS pointer.*run `git lfs pull`"):
        dataset = corpus.load()
    assert set(dataset["video"]) == {None}
    assert all(path.endswith(".wav") for path in dataset["audio"])
    shutil.rmtree(corpus.folder / "AudioWAV")
    with pytest.raises(FileNotFoundError, match="found only .*git-LFS pointer.*run `git lfs pull`"):
        corpus.load()


def test_demographics(corpus):
    people = demographics(corpus.folder)
    assert people["1002"] == {"age": 30, "sex": "Female", "race": "Asian", "ethnicity": "Hispanic"}
    assert people == demographics(corpus.folder / "VideoDemographics.csv")
    (corpus.folder / "VideoDemographics.csv").unlink()
    with pytest.raises(FileNotFoundError, match="Expected the table VideoDemographics.csv"):
        demographics(corpus.folder)
    with pytest.warns(UserWarning, match="no gender is known and the folds are not balanced"):
        assert set(corpus.load()["gender"]) == {None}


def test_folds_are_balanced_by_sex():
    genders = {str(1001 + actor): "male" if actor % 2 else "female" for actor in range(91)}
    fold_of = folds_of_actors(dict(reversed(genders.items())), 5)
    assert fold_of == folds_of_actors(genders, 5)
    assert sorted(Counter(fold_of.values()).values()) == [18, 18, 18, 18, 19]
    for sex in ("male", "female"):
        sizes = Counter(fold for actor, fold in fold_of.items() if genders[actor] == sex).values()
        assert max(sizes) - min(sizes) <= 1
    assert folds_of_actors({"1001": None, "1002": "male"}, 2) == {"1002": 0, "1001": 1}


def everybody():
    names = [f"{actor}_{sentence}_NEU_XX" for actor in range(1001, 1092) for sentence in SENTENCES][:1087]
    for emotion in ("HAP", "SAD", "ANG", "FEA", "DIS"):
        levels = [("IEO", level) for level in ("LO", "MD", "HI")] + [(code, "XX") for code in list(SENTENCES)[1:]]
        every = [f"{actor}_{code}_{emotion}_{level}" for actor in range(1001, 1092) for code, level in levels]
        names += every[:1271]
    return {name: {} for name in names}


def test_published_counts():
    takes = everybody()
    assert len(takes) == sum(PUBLISHED_TAKES.values()) == 7442
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_counts(takes)
        check_counts({take: files for take, files in takes.items() if not take.startswith("1091")})
    del takes["1001_IEO_SAD_LO"]
    with pytest.warns(UserWarning, match="7,441 takes of 91 actors, 7,442 are published: sad 1,270 instead of 1,271"):
        check_counts(takes)


def test_a_missing_folder_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected CREMA-D recordings.*git lfs clone"):
        load_corpus("crema_d", tmp_path / "nowhere")


@pytest.mark.real_data
def test_the_real_tables_and_clip(real_data, tmp_path):
    folder = real_data / "crema_d"
    people = demographics(folder)
    assert Counter(person["sex"] for person in people.values()) == {"Male": 48, "Female": 43}
    assert min(person["age"] for person in people.values()) == 20
    assert max(person["age"] for person in people.values()) == 74
    row = load_corpus("crema_d", folder, cache_dir=tmp_path)[0]
    assert (row["video"][-4:], row["label"], row["gender"]) == (".flv", LABELS.index("angry"), "male")

    lines = (folder / "SentenceFilenames.csv").read_text().split("\n")[1:]
    takes = {parse_crema_d_name(line.split(",")[1].strip('"')).take: {} for line in lines if line}
    assert len(takes) == 7442
    assert set(BROKEN_TAKES) < set(takes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_counts(takes)
    sexes = {actor: person["sex"].lower() for actor, person in people.items()}
    fold_of = folds_of_actors(sexes, 5)
    assert sorted(Counter(fold_of[take[:4]] for take in takes).values())[0] > 1400


@pytest.mark.real_data
@pytest.mark.parametrize("suffix", ["flv", "mp4"])
def test_a_real_clip_is_prepared(real_data, tmp_path, suffix):
    from modeling_tacfn import TacfnFeatureExtractor, TacfnImageProcessor, TacfnProcessor
    from modeling_tacfn.data import load_clips
    from modeling_tacfn.preparation import prepare_clips

    shutil.copy(real_data / "crema_d" / f"1001_DFA_ANG_XX.{suffix}", tmp_path)
    shutil.copy(real_data / "crema_d" / "VideoDemographics.csv", tmp_path)
    corpus = load_corpus("crema_d", tmp_path, cache_dir=tmp_path / "cache")
    processor = TacfnProcessor(TacfnFeatureExtractor(), TacfnImageProcessor(num_frames=4, size=32))
    _, files = prepare_clips(corpus, processor, tmp_path / "prepared")
    clip = load_clips(files)[0]
    assert clip["crops"].shape == (4, 32, 32, 3)
    assert clip["input_features"].shape[1] == 13
