"""The command `python -m experiments.pretrained`: see `publish`."""

import sys

from experiments.pretrained.publish import main

if __name__ == "__main__":
    sys.exit(main())
