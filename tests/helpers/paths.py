"""Where things lie in the repository."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
GOLDENS = ROOT / "tests" / "golden"
RUN_NET = ROOT / "tools" / "run_net.py"
