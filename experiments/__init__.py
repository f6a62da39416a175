"""One runnable module per figure; only here do both libraries, disks and screens meet.

`python -m experiments` lists them. A figure's module is a docstring (what it shows, the
claim, how to read it), `PRESETS` and `TIMES`, three functions, and the `FIGURE` that
holds them together:

    compute(config, models) -> xarray.Dataset    everything slow
    plot(dataset) -> Figure                      from the Dataset alone
    claims(dataset) -> list[Claim]               likewise
"""
