"""The figures of the papers, one runnable module each, and the engine that runs them.

Only here do both libraries, disks and screens meet. `python -m experiments` lists the
figures. A figure's module consists of a docstring (what the figure shows, the claim,
how to read it), `PRESETS` and `TIMES`, three functions, and the `FIGURE` that holds
them together:

    compute(config, models) -> xarray.Dataset    does everything slow
    plot(dataset) -> Figure                      draws the Dataset, and needs no more
    claims(dataset) -> list[Claim]               judges the Dataset, and needs no more
"""
