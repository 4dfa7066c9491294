"""A process keeps what it freed, if it was told to."""

import subprocess
import sys
from pathlib import Path

import pytest


# Pages that the system hands out for arrays of 64 MiB, of which each is freed before the next is made.
COUNT = """
import resource, sys
import numpy as np
from modeling_tacfn.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
np.ones(1 << 24, np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(1 << 24, np.float32)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a matter of glibc")
def test_no_page_is_fetched_twice():
    root = Path(__file__).resolve().parents[1]
    pages = {
        how: int(subprocess.run([sys.executable, "-c", COUNT, how], cwd=root, capture_output=True, check=True).stdout)
        for how in ("kept", "returned")
    }
    assert pages["kept"] < pages["returned"] / 3, pages


RETURN = """
import resource
from pathlib import Path
import numpy as np
from modeling_tacfn.memory import keep_freed_memory, return_freed_memory
resident = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
keep_freed_memory()
before = resident()
np.ones(1 << 26, np.float32)
kept = resident() - before
return_freed_memory()
print(kept, resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a matter of glibc")
def test_what_was_kept_can_be_given_back():
    root = Path(__file__).resolve().parents[1]
    printed = subprocess.run([sys.executable, "-c", RETURN], cwd=root, capture_output=True, check=True).stdout
    kept, left = map(int, printed.split())
    assert kept > 200e6 > 50e6 > left
