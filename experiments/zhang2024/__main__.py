"""The command for the whole paper, which says how to make it figure by figure."""

import sys

from experiments.engine.figures.command import no_whole_paper

if __name__ == "__main__":
    sys.exit(no_whole_paper("experiments.zhang2024"))
