"""Which face of a long recording is followed, and where it is said to be."""

import numpy as np
import pytest
from media_samples import draw_face

from modeling_tacfn import timeline_faces
from modeling_tacfn.timeline_faces import FaceChoice, FaceFollower, FacePoint, _steadied, face_at, parse_choices


SMALL, LARGE = (10.0, 20.0, 50.0, 60.0), (100.0, 10.0, 160.0, 70.0)


def box(*numbers) -> np.ndarray:
    return np.array(numbers, dtype=float)


@pytest.fixture
def follow(monkeypatch):
    """Follow faces through what a detector would have found, a list of boxes for each half second."""

    def points(found, faces="largest"):
        follower = FaceFollower(parse_choices(faces))
        answers = []
        for index, boxes in enumerate(found):
            boxes = np.array(boxes, dtype=float).reshape(-1, 4)
            monkeypatch.setattr(timeline_faces, "detect_faces", lambda *arguments, boxes=boxes: boxes)
            answers.append(follower.find(np.zeros((80, 200, 3), np.uint8), index / 2))
        return answers

    return points


def lefts(points) -> list[float | None]:
    return [None if point.box is None else point.box[0] for point in points]


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("largest", FaceChoice("largest")),
        ("left@12.5", FaceChoice("left", 12.5)),
        ("2", FaceChoice(2)),
        ("320,180.5@3", FaceChoice((320.0, 180.5), 3.0)),
    ],
)
def test_choices_as_people_write_them(text, choice):
    assert FaceChoice.parse(text) == choice


@pytest.mark.parametrize(
    "text", ["", "biggest", "0", "1.5", "3,", "3,4,5", "left@", "left@-1", "left@nan", "nan,3", "1,2@x"]
)
def test_choices_that_mean_nothing(text):
    if text == "left@":
        assert FaceChoice.parse(text) == FaceChoice("left")
        return
    with pytest.raises(ValueError, match="expected a face as largest"):
        FaceChoice.parse(text)


def test_choices_are_sorted_and_begin_with_the_largest():
    choices = parse_choices(["right@9", "left@4"])
    assert [(choice.which, choice.since_seconds) for choice in choices] == [("largest", 0), ("left", 4), ("right", 9)]
    assert parse_choices([]) == parse_choices("largest")


@pytest.mark.parametrize(
    ("faces", "expected"),
    [
        ("largest", 100),
        ("left", 10),
        ("right", 100),
        ("1", 10),
        ("2", 100),
        ("3", None),
        ("30,40", 10),
        ("75,200", None),
    ],
)
def test_one_of_two_faces_is_chosen(follow, faces, expected):
    assert lefts(follow([[LARGE, SMALL]], faces)) == [expected]


def test_the_face_is_kept_where_another_becomes_larger(follow):
    larger = (100.0, 0.0, 178.0, 78.0)
    points = follow([[SMALL], [SMALL, LARGE], [larger, SMALL], [(14.0, 22.0, 56.0, 64.0), larger]])
    assert lefts(points) == [10, 10, 10, 14]
    assert {point.track for point in points} == {1}


def test_a_face_that_is_missed_once_is_waited_for(follow):
    points = follow([[SMALL], [LARGE], [SMALL]])
    assert lefts(points) == [10, None, 10]
    assert points[2].track == points[0].track


def test_a_face_that_is_gone_gives_way_to_another(follow):
    points = follow([[SMALL], [LARGE], [LARGE], [LARGE]])
    assert lefts(points) == [10, None, 100, 100]
    assert [point.track for point in points] == [1, None, 2, 2]
    assert lefts(follow([[SMALL], [], [], [], [LARGE]])) == [10, None, None, None, 100]


def test_the_choice_changes_with_time(follow):
    points = follow([[SMALL, LARGE]] * 6, ["left", "right@1", "30,40@2"])
    assert lefts(points) == [10, 10, 100, 100, 10, 10]
    assert len({point.track for point in points}) == 3


def test_a_person_who_was_pointed_at_is_found_again_where_he_was_last(follow):
    moved = [(10.0 + step, 20.0, 50.0 + step, 60.0) for step in (0, 25, 50, 75, 100)]
    points = follow([*([one, LARGE] if i < 2 else [one] for i, one in enumerate(moved)), [], [], [moved[-1]]], "30,40")
    assert lefts(points) == [10, 35, 60, 85, 110, None, None, 110]


def test_drawn_faces_are_followed_side_by_side():
    def picture(x):
        scene = draw_face(180, 400, (x, 90), 100)
        scene[:, 250:] = draw_face(180, 400, (320, 90), 80)[:, 250:]
        return scene

    for faces, expected in (("largest", [70, 100, 130]), ("right", [320] * 3), ("left", [70, 100, 130])):
        follower = FaceFollower(parse_choices(faces))
        points = [follower.find(picture(x), index / 2) for index, x in enumerate((70, 100, 130))]
        centres = [(point.box[0] + point.box[2]) / 2 for point in points]
        np.testing.assert_allclose(centres, expected, atol=12)


def test_what_one_search_alone_saw_is_taken_out():
    before, after = FacePoint(0, box(0, 0, 10, 10), 1), FacePoint(1, box(4, 0, 14, 10), 1)
    jumped = FacePoint(0.5, box(30, 0, 60, 30), 1)
    np.testing.assert_allclose(_steadied(before, jumped, after).box, [4, 0, 14, 10])
    steady = FacePoint(0.5, box(2, 0, 12, 10), 1)
    np.testing.assert_allclose(_steadied(before, steady, after).box, steady.box)
    filled = _steadied(before, FacePoint(0.5), after)
    np.testing.assert_allclose(filled.box, [2, 0, 12, 10])
    assert filled.track == 1
    for other in (FacePoint(1), FacePoint(1, box(4, 0, 14, 10), 2), None):
        assert _steadied(before, jumped, other) is jumped
        assert _steadied(before, FacePoint(0.5), other).box is None


def test_between_two_searches_the_face_is_on_its_way():
    points = [
        FacePoint(0, box(0, 0, 10, 10), 1),
        FacePoint(1, box(10, 0, 20, 10), 1),
        FacePoint(2),
        FacePoint(3, box(1, 2, 3, 4), 2),
    ]
    np.testing.assert_allclose(face_at(points, 0.25).box, [2.5, 0, 12.5, 10])
    np.testing.assert_allclose(face_at(points, 1).box, [10, 0, 20, 10])
    for seconds in (1.5, 2.0, 2.5):  # one of the searches around did not see it
        assert face_at(points, seconds).box is None
    np.testing.assert_allclose(face_at(points, 9).box, [1, 2, 3, 4])
    assert face_at([], 1).box is None
