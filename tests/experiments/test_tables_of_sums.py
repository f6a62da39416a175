"""Tables and other operations: what is planted is found, and models go through."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from planted import verdicts

from experiments.lee2023 import operations, tables
from icl.tasks import Operation

# --- tables --------------------------------------------------------------------------

FACTORS = np.array([2.0, 4.0, 8.0, 16.0])
CELLS = {50: {"additive": 240.0, "contiguous": 400.0, "digits": 37.0}}
CELLS[100] = {"additive": 533.0, "contiguous": 1_394.0, "digits": 40.0}


def planted_tables(half):
    """Models that get half of a table right from so many cells on, by n."""
    sizes = {"seed": range(3), "table": list(CELLS), "factor": FACTORS}
    rng = np.random.default_rng(0)
    middle = np.array([half[n] / n for n in CELLS])[:, None]
    share = 1 / (1 + (middle / FACTORS) ** 4)
    exact = rng.random((3, 2, 4, 1_000)) < share[..., None]
    orders = 1 + 0.05 * np.linspace(-1, 1, 9)
    threshold = [[CELLS[n][rule] * orders for n in CELLS] for rule in tables.RULES]
    return xr.Dataset(
        {
            "exact": ((*sizes, "prompt"), exact.astype(float)),
            "known": (("rule", "table", "factor", "order"), np.full((3, 2, 4, 9), 0.5)),
            "threshold": (("rule", "table", "order"), np.array(threshold)),
        },
        coords={**sizes, "rule": list(tables.RULES)},
        attrs={"resamples": 200, "steps": 10},
    )


@pytest.mark.parametrize(
    ("half", "found"),
    [
        ({50: 300, 100: 850}, {"L10a": "holds", "L10b": "holds", "L10c": "fails"}),
        ({50: 300, 100: 500}, {"L10a": "fails", "L10b": "holds", "L10c": "fails"}),
        ({50: 600, 100: 1_300}, {"L10a": "holds", "L10b": "fails", "L10c": "fails"}),
        ({50: 1, 100: 500}, dict.fromkeys(("L10a", "L10b", "L10c"), "undecided")),
    ],
)
def test_cells_that_a_model_needs_are_compared_with_those_of_rules(half, found):
    dataset = planted_tables(half)
    assert verdicts(tables, dataset) == found
    assert len(tables.plot(dataset).axes) == 2


def test_models_of_tables_are_asked_for_cells_that_none_has_seen():
    config = tables.PRESETS["tiny"]
    lines = {n: tables.asked(config, n) for n in config.tables}
    for setting in tables.settings(config):
        task = setting.task
        n = 10 - len(task.left_out)
        seen, asked = task._training(task.examples), lines[n].latents
        cells = 10 * asked["a"][:, 0] + asked["b"][:, 0]
        assert not np.isin(cells, 10 * seen.a + seen.b).any()
        assert max(seen.a.max(), seen.b.max(), cells.max() // 10) < n

    def oracle(setting):
        """Knows every answer of the larger table, and none of the other."""
        codec, knows = setting.task.codec, not setting.task.left_out

        def logits(lines):
            known = np.eye(codec.entries)[np.asarray(lines.ids)[:, codec.start + 1 :]]
            return known if knows else -known

        return SimpleNamespace(model=logits)

    dataset = tables.measure(config, oracle)
    assert dataset.exact.mean(("seed", "factor", "prompt")).values.tolist() == [0, 1]
    least = dataset.known.min(("factor", "order"))
    assert (least >= 0).all() and (dataset.known <= 1).all()
    # Any rectangle says all that neighbours do.
    apart = dataset.known.sel(rule="additive") - dataset.known.sel(rule="contiguous")
    assert (apart >= 0).all()
    tables.plot(dataset)
    assert len(tables.claims(dataset)) == 3


def test_tables_that_cannot_be_are_refused():
    config = tables.PRESETS["tiny"]
    with pytest.raises(ValueError, match="tables must be an integer of at most 10"):
        replace(config, tables=(4, 11))
    with pytest.raises(ValueError, match="factors must be ascending"):
        replace(config, factors=(2.0, 1.0))
    with pytest.raises(ValueError, match="at most 6, the cells that are left of 6 x 6"):
        replace(config, factors=(1.0, 5.0))


# --- other operations ----------------------------------------------------------------


def planted_products(plain=0.05, reverse=0.05, detailed=0.95):
    shares = np.array([plain, reverse, np.nan, detailed])
    exact = np.random.default_rng(0).random((3, 1, 4, 500)) < shares[:, None]
    exact = np.where(np.isnan(shares)[:, None], np.nan, exact)
    over = {
        "seed": range(3),
        "operation": ["multiplication"],
        "layout": list(operations.LAYOUTS),
    }
    return xr.Dataset(
        {name: ((*over, "prompt"), exact) for name in ("exact", "whole")},
        coords=over,
        attrs={"examples": 3_000, "steps": 10, "resamples": 200},
    )


def test_products_that_need_their_working_fulfil_the_claims():
    found = verdicts(operations, planted_products())
    assert found == {"L21a": "holds", "L21b": "holds"}
    found = verdicts(operations, planted_products(detailed=0.3))
    assert found == {"L21a": "fails", "L21b": "holds"}
    found = verdicts(operations, planted_products(reverse=0.4))
    assert found == {"L21a": "holds", "L21b": "fails"}
    found = verdicts(operations, planted_products(0.01, 0.01, 0.01))
    assert found == {"L21a": "undecided", "L21b": "undecided"}
    operations.plot(planted_products())


def test_lines_of_operations_are_right_by_their_numbers_and_as_a_whole():
    task = Operation("subtraction", digits=1, layout="detailed", examples=60)
    lines = task.test(3)
    said = np.array(lines.ids)
    texts = [task.codec.text(row) for row in said]
    said[1, texts[1].index("A->") + 3] = 9  # another digit than a difference can have
    if texts[1][texts[1].index("A->") + 3] == "9":
        said[1, texts[1].index("A->") + 3] = 8
    end = texts[2].index("</scratch>") + len("</scratch>\n")
    last = end + (texts[2][end] == "-")
    said[2, last] = (said[2, last] + 1) % 10
    assert operations.right(task, lines, said).tolist() == [[1, 1, 0], [1, 0, 0]]


def test_models_of_operations_go_through_to_the_picture(monkeypatch):
    """Their greedy lines are those that are asked for, with other answers for some."""
    config = operations.PRESETS["tiny"]

    def written(model, lines):
        ids, at = np.array(lines.ids), np.argmax(np.asarray(lines.answers), axis=1)
        ids[np.arange(5), at[:5]] = 10  # a plus, with which no answer begins
        return ids

    monkeypatch.setattr(operations, "generate", written)
    dataset = operations.measure(config, lambda setting: SimpleNamespace(model=None))
    assert dataset.exact.shape == (1, 1, 4, 20)
    found = dataset.whole.mean("prompt").squeeze().values
    assert (found < 1).all() and (found >= 0.75).all()
    operations.plot(dataset)
    assert set(verdicts(operations, dataset).values()) == {"undecided"}


def test_operations_that_cannot_be_are_refused():
    config = operations.PRESETS["tiny"]
    with pytest.raises(ValueError, match="operations must be one of 'subtraction'"):
        replace(config, operations=("division",))
    with pytest.raises(ValueError, match="operations must be one or more, none twice"):
        replace(config, operations=())
    with pytest.raises(ValueError, match=r"must be at most 40, because training"):
        more = replace(config.evaluation, prompts=41)
        replace(config, evaluation=more)
