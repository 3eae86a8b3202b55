"""Print the versions installed here as a constraints file that holds on any machine with this Python."""

from __future__ import annotations

import subprocess
import sys

OF_THE_MACHINE = ("nvidia-", "cuda-", "triton==")
"""What torch installs, and pins itself, where there may be a graphics card."""


def main() -> None:
    frozen = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    lines = subprocess.run(frozen, capture_output=True, text=True, check=True).stdout.splitlines()
    print(f"# Versions that `make setup` installs on Python {sys.version_info[0]}.{sys.version_info[1]}. Renew them with `make lock`.")
    print("\n".join(line for line in lines if "==" in line and "+" not in line and not line.startswith(OF_THE_MACHINE)))


if __name__ == "__main__":
    main()
