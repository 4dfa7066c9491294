# Copyright 2026 The modeling_tacfn authors. Licensed under the Apache License, Version 2.0.
"""Arrays with gaps: statistics of what is known, padding that says what is there."""

import numpy as np
import pytest

from modeling_tacfn.feature_arrays import known_statistics, mean_of_known, normalize_batch, pad_feature


NAN = np.nan


def test_statistics_of_what_is_known():
    rows = np.array([[1, NAN, NAN, 7], [3, NAN, 5, 7], [8, NAN, 9, 7]], np.float32)
    mean, sd = known_statistics(rows)
    np.testing.assert_allclose(mean, [4, 0, 7, 7])
    np.testing.assert_allclose(sd, [np.std([1, 3, 8]), 0, 2, 0], rtol=1e-6)
    np.testing.assert_allclose(mean_of_known(rows), [4, NAN, 7, 7])


def test_large_offsets_lose_no_digits():
    rows = (1e4 + np.random.default_rng(0).normal(size=(1000, 1))).astype(np.float32)
    np.testing.assert_allclose(known_statistics(rows)[1], rows.astype(np.float64).std(0), rtol=1e-5)


def test_a_step_with_a_missing_number_is_masked_whole():
    long, short = np.arange(6.0).reshape(3, 2), np.array([[1, NAN], [2, 3]])
    values, mask = pad_feature("units", [long, None, short])
    np.testing.assert_array_equal(mask, [[1, 1, 1], [0, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(values[0], long)
    np.testing.assert_array_equal(values[2], [[0, 0], [2, 3], [0, 0]])
    assert not values[1].any()


def test_a_vector_is_masked_per_number():
    values, mask = pad_feature("units", [None, np.array([1, NAN, 3])])
    np.testing.assert_array_equal(values, [[0, 0, 0], [1, 0, 3]])
    np.testing.assert_array_equal(mask, [[0, 0, 0], [1, 0, 1]])


@pytest.mark.parametrize("other", [np.ones(3), np.ones((2, 2))])
def test_one_rank_and_size_in_a_batch(other):
    with pytest.raises(ValueError, match="'units' to have as many numbers in every clip"):
        pad_feature("units", [np.ones(2), other])


def test_a_batch_is_normalised_where_there_is_something():
    data = {"features": {"units": np.array([[5.0, 0.0]])}, "feature_masks": {"units": np.array([[True, False]])}}
    normalize_batch(data, {"units": (np.array([1.0, 4.0]), np.array([2.0, 1.0]))})
    np.testing.assert_array_equal(data["features"]["units"], [[2, 0]])
    with pytest.raises(ValueError, match="statistics of 'units'"):
        normalize_batch(data, {})
