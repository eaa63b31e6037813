"""The aws CLI, in a virtual environment of its own: it would hold back this project's versions."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

_REQUIREMENTS = Path("requirements/bench.txt")


def aws() -> Path:
    """The program, installed on first use."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "together-operator"
    content = _REQUIREMENTS.read_bytes() + sys.version.encode()
    root = base / f"aws-{hashlib.sha256(content).hexdigest()[:16]}"
    done = root / "installed"
    base.mkdir(parents=True, exist_ok=True)
    with (base / "aws.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            print("==> Installing the aws CLI into the user's cache (half a minute, once)")
            subprocess.run([sys.executable, "-m", "venv", str(root)], check=True)
            pip = [str(root / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            options = ["--disable-pip-version-check", "--require-hashes", "-r", str(_REQUIREMENTS)]
            subprocess.run([*pip, *options], check=True)
            done.touch()
    return root / "bin" / "aws"
