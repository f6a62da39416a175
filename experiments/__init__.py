"""The figures of the papers, one runnable module each, and the engine that runs them.

Only here do both libraries, disks and screens meet. `python -m experiments` lists the
figures. A figure's module consists of a docstring (what the figure shows, the claim,
how to read it), `PRESETS` and `TIMES`, three functions, and the `FIGURE` that holds
them together:

    compute(config, models) -> xarray.Dataset    does everything slow
    plot(dataset) -> Figure                      draws the Dataset, and needs no more
    claims(dataset) -> list[Claim]               judges the Dataset, and needs no more
"""

import os
import sys

if sys.argv[:1] == ["-m"]:  # Python is looking for the module of a command
    # Commands draw into files alone, and all alike: neither the backend that a notebook
    # has left in the environment nor the user's own settings may change or stop them.
    os.environ["MPLBACKEND"] = "agg"
    os.environ["MATPLOTLIBRC"] = os.devnull
