"""Libraries that probes are held against; each is skipped where it is missing."""

import pytest

from benchmarks import cells


@pytest.mark.parametrize("shape", [(40, 60, 2), (60, 5, 2)])
def test_himalaya_finds_the_same_scores(shape, monkeypatch):
    pytest.importorskip("himalaya")
    monkeypatch.setattr(cells, "SHAPES", (shape,))
    monkeypatch.setattr(cells, "CALLS", 1)
    beside = list(cells.ridge(1))[1:]
    assert beside and all("himalaya" in made.usual_way for made in beside)
    # Five folds may choose another penalty than leaving prompts out one by one.
    assert all(float(made.note.split()[-1]) < 0.1 for made in beside)


def test_probekit_finds_the_same_losses(monkeypatch):
    pytest.importorskip("probekit")
    monkeypatch.setattr(cells, "LABELLED", ((200, 5, 2, 2),))
    monkeypatch.setattr(cells, "CALLS", 1)
    _, beside = cells.logistic(1)
    assert "probekit" in beside.usual_way
    # It works in float32, and divides by other standard deviations: n - 1, not n.
    assert float(beside.note.split()[-1]) < 0.01
