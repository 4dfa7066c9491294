"""Speaker-independent folds."""

import datasets
import pytest

from dataset_scripts import (
    check_disjoint,
    choose_validation_speakers,
    corpus_folds,
    published_split_indices,
    speaker_folds,
    split_indices,
)


def table(num_speakers=20, takes=3, num_folds=5):
    speakers = [f"{speaker:02d}" for speaker in range(1, num_speakers + 1)]
    fold_of = {speaker: fold for fold, block in enumerate(speaker_folds(speakers, num_folds)) for speaker in block}
    rows = [
        {
            "clip_id": f"{speaker}-{take}",
            "speaker_id": speaker,
            "utterance_group": f"{speaker}-{take}",
            "gender": "male" if int(speaker) % 2 else "female",
            "fold": fold_of[speaker],
        }
        for take in range(takes)
        for speaker in speakers
    ]
    return datasets.Dataset.from_list(rows)


def test_blocks_of_four():
    speakers = [f"{speaker:02d}" for speaker in range(1, 21)]
    assert speaker_folds(speakers, 5) == [speakers[start : start + 4] for start in range(0, 20, 4)]


def test_order_and_repeats_do_not_matter():
    speakers = [f"actor{speaker}" for speaker in range(1, 13)]
    folds = speaker_folds(speakers[::-1] * 3, 4)
    assert folds[0] == ["actor1", "actor2", "actor3"]
    assert folds[3] == ["actor10", "actor11", "actor12"]


@pytest.mark.parametrize(("num_speakers", "num_folds"), [(24, 5), (24, 6), (91, 10), (7, 7), (3, 1)])
def test_every_speaker_is_tested_once(num_speakers, num_folds):
    speakers = [str(speaker) for speaker in range(num_speakers)]
    folds = speaker_folds(speakers, num_folds)
    assert sorted(sum(folds, []), key=int) == speakers
    sizes = [len(fold) for fold in folds]
    assert len(folds) == num_folds
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("num_folds", [0, -1, 4])
def test_impossible_numbers_of_folds(num_folds):
    with pytest.raises(ValueError, match=f"between 1 and 3 folds.*received {num_folds}"):
        speaker_folds(["a", "b", "c"], num_folds)


def test_unknown_speakers_cannot_be_split():
    with pytest.raises(ValueError, match="received None"):
        speaker_folds(["a", None], 1)


def test_folds_read_from_the_corpus():
    assert corpus_folds(table()) == speaker_folds(table()["speaker_id"], 5)


def test_validation_speakers_are_repeatable_and_balanced():
    speakers = [f"{speaker:02d}" for speaker in range(1, 17)]
    genders = {speaker: "male" if int(speaker) % 2 else "female" for speaker in speakers}
    choices = [choose_validation_speakers(speakers, 4, seed, genders) for seed in range(20)]
    assert choices == [choose_validation_speakers(reversed(speakers), 4, seed, genders) for seed in range(20)]
    assert len({tuple(choice) for choice in choices}) > 5
    for choice in choices:
        assert len(set(choice)) == 4
        assert [genders[speaker] for speaker in choice].count("female") == 2
    odd = {genders[choose_validation_speakers(speakers, 1, seed, genders)[0]] for seed in range(20)}
    assert odd == {"male", "female"}


def test_validation_without_enough_of_one_gender():
    genders = {"a": "female", "b": "male", "c": "male", "d": "male"}
    assert set(choose_validation_speakers("abcd", 3, genders=genders)) > {"a"}


@pytest.mark.parametrize("count", [0, 4, 5])
def test_validation_must_leave_somebody(count):
    with pytest.raises(ValueError, match=f"between 1 and 3 .*received {count}"):
        choose_validation_speakers("abcd", count)


@pytest.mark.parametrize("fold", range(5))
def test_split_covers_and_divides(fold):
    dataset = table()
    splits = split_indices(dataset, fold, seed=fold)
    assert sorted(splits["train"] + splits["validation"] + splits["test"]) == list(range(len(dataset)))
    sides = [{dataset["speaker_id"][index] for index in indices} for indices in splits.values()]
    assert not sides[0] & sides[1] and not sides[1] & sides[2] and not sides[0] & sides[2]  # noqa: PT018
    assert [len(side) for side in sides] == [14, 2, 4]
    assert sides[2] == set(corpus_folds(dataset)[fold])
    assert splits == split_indices(dataset, fold, seed=fold)


def test_named_or_no_validation_speakers():
    dataset = table()
    splits = split_indices(dataset, 0, validation_speakers=["05", "20"])
    assert {dataset["speaker_id"][index] for index in splits["validation"]} == {"05", "20"}
    assert split_indices(dataset, 0, validation_speakers=[])["validation"] == []
    assert split_indices(dataset, 0, validation_speakers=0)["validation"] == []
    assert len(split_indices(dataset, 0, validation_speakers=3)["validation"]) == 9
    with pytest.raises(ValueError, match="from the training part of fold 0, received 01, 99"):
        split_indices(dataset, 0, validation_speakers=["01", "99"])


def test_folds_that_cannot_be():
    dataset = table(4, num_folds=2)
    with pytest.raises(ValueError, match="from 0 to 1, received 2"):
        split_indices(dataset, 2)
    with pytest.raises(ValueError, match="04 would be trained on and never tested"):
        split_indices(dataset, 0, folds=[["01"], ["02", "03"]])
    with pytest.raises(ValueError, match="received 02 in several"):
        split_indices(dataset, 0, folds=[["01", "02"], ["02", "03", "04"]])
    with pytest.raises(ValueError, match="The test part of fold 1 is empty"):
        split_indices(dataset, 1, folds=[["01", "02", "03", "04"], ["05"]], validation_speakers=0)


def test_a_take_on_two_sides_is_refused():
    rows = table(4, num_folds=2).to_list()
    rows[0]["utterance_group"] = rows[3]["utterance_group"] = "one dialogue"
    with pytest.raises(ValueError, match="utterance_group 'one dialogue' is in both"):
        split_indices(datasets.Dataset.from_list(rows), 0, validation_speakers=0)


def test_a_speaker_on_two_sides_is_refused():
    dataset = table(2, takes=2, num_folds=2)
    with pytest.raises(ValueError, match="speaker_id '01' is in both the train and the test part"):
        check_disjoint(dataset, {"train": [0, 1], "test": [2]})
    with pytest.raises(ValueError, match="clip_id '01-0'"):
        check_disjoint(dataset, {"train": [0], "test": [0]})
    check_disjoint(dataset, {"train": [0, 2], "test": [1, 3]})


def test_clips_without_a_take_do_not_share_one():
    rows = [{**row, "utterance_group": None} for row in table(2, num_folds=2).to_list()]
    split_indices(datasets.Dataset.from_list(rows), 0, validation_speakers=0)


def test_the_published_split_is_checked():
    rows = [
        {**row, "split": side}
        for row, side in zip(table(3, 1, 3).to_list(), ("train", "test", "validation"), strict=True)
    ]
    assert published_split_indices(datasets.Dataset.from_list(rows)) == {"train": [0], "validation": [2], "test": [1]}
    rows[2]["speaker_id"] = rows[0]["speaker_id"]
    with pytest.raises(ValueError, match="speaker_id '01' is in both the train and the validation part"):
        published_split_indices(datasets.Dataset.from_list(rows))
    rows[2]["split"] = None
    with pytest.raises(ValueError, match="train, validation, test, received None for clip '03-0'"):
        published_split_indices(datasets.Dataset.from_list(rows))
