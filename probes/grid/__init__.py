"""`probe_grid` and how it works: one probe for every layer, token and target."""

from probes.grid.grid import probe_grid as probe_grid
