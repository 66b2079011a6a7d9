"""The C library gives memory back, where it can be told to; `bench.budgets` measures what that is worth."""

import os
import platform
import subprocess
import sys


def test_glibc_is_told():
    """In a process of its own, since it is told for good; another C library is left as it is."""
    script = "from tidegate.runtime import allocator; print(allocator.gives_back())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment)

    assert done.stdout.strip() == str(platform.libc_ver()[0] == "glibc")
