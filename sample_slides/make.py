"""Make the sample slides again, beside this file or in a given folder: python sample_slides/make.py [OUT]"""

import sys
from pathlib import Path

from cacapp.simulation import write_samples

if __name__ == "__main__":
    for path in write_samples(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent):
        print(path)
