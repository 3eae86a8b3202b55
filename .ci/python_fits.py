"""Whether cacapp can be installed on the Python that runs this: silence, or one line and exit code 1. Runs on Python 2.7 too."""
# ruff: noqa: UP031 for old Pythons

import sys

OLDEST, NEWEST = (3, 11), (3, 14)


def judge(version, executable, has_pip):
    """Return what is missing as one line, "" where nothing is."""
    shown = ".".join(str(n) for n in version)
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        return (
            "cacapp needs Python 3.%d to 3.%d, and %s is %s: install one of these, or name yours: make setup PYTHON=/path/to/python3.%d"
            % (OLDEST[1], NEWEST[1], executable, shown, NEWEST[1])
        )
    if not has_pip:
        return "%s (%s) cannot make an environment, its module ensurepip is missing: install it (Debian, Ubuntu: python3-venv)" % (
            executable,
            shown,
        )
    return ""


def main():
    try:
        import ensurepip  # noqa: F401

        has_pip = True
    except ImportError:
        has_pip = False
    line = judge(sys.version_info[:3], sys.executable, has_pip)
    if line:
        sys.stderr.write(line + "\n")
    return 1 if line else 0


if __name__ == "__main__":
    sys.exit(main())
