"""The failure drill, shortened: `make drill` is the long one, and tests/drill/ says what it does."""
import os
import subprocess
import sys

import pytest

from harness import BUILD, GRADINGD, ROOT


@pytest.mark.timeout(1000)
@pytest.mark.skipif(b"__asan_init" in GRADINGD.read_bytes(), reason="takes too long under sanitizers")
def test_the_shortened_drill_finds_nothing():
    env = dict(os.environ, GRADINGD_BUILD=str(BUILD))
    drill = subprocess.run([sys.executable, "-B", ROOT / "tests" / "drill" / "drill.py", "--short"], env=env, text=True,
                           capture_output=True, check=False, timeout=900)
    print(drill.stdout, drill.stderr)
    assert drill.returncode == 0, drill.stdout
