"""The worker's parent process stays light: PyTorch is its children's."""

import subprocess
import sys


def test_the_parent_does_not_load_pytorch() -> None:
    code = "import sys, worker.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
