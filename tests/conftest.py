"""Fixtures shared by all tests."""

import os
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
# The tests import their own helper modules and train.py, which are not installed.
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings that `TACFN_DATA` names; its tests are skipped where there is none."""
    folder = os.environ.get("TACFN_DATA")
    if not folder:
        pytest.skip("set TACFN_DATA to the folder with the real recordings")
    return Path(folder)
