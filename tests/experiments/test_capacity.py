"""Figures 3 and 8 on sweeps of textbook learners, of which everything is known."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.akyurek2023 import (
    fig3,
    fig3_claims,
    fig8,
    fig8_claims,
    size_claims,
    size_sweep,
)
from experiments.akyurek2023.size_sweep import Point, Shape
from experiments.engine.figures import command
from experiments.engine.figures.changes import changed
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import command_line
from icl import sweeps
from icl.baselines import (
    GradientDescent,
    LeastSquares,
    OnePassSGD,
    Ridge,
)

DIMS = (2, 4)


class Planted(sweeps.Models):
    """In place of trained models: a learner and a validation loss for each setting.

    Args:
        learner: the learner of a setting; None where its training failed.
        loss: its validation loss; larger models have less.
        noise: standard deviation of an error of its predictions, so that no distance is
            0 and ratios of them are finite; one for each shape.
    """

    def __init__(self, learner, loss=None, noise=0.0):
        super().__init__()
        self.learner, self.noise = learner, noise
        self.loss = loss or (lambda s: 1 / (s.model.layers * s.model.width))

    def __call__(self, setting):
        learner = self.learner(setting)

        def model(prompts):
            exact = np.asarray(learner(prompts).predictions)
            generator = np.random.default_rng(
                [setting.model.layers, setting.model.width]
            )
            error = self.noise * generator.normal(size=exact.shape)
            return SimpleNamespace(predictions=exact + error)

        return SimpleNamespace(model=model)

    def last_losses(self, setting):
        failed = self.learner(setting) is None
        return None if failed else np.full(setting.task.length, self.loss(setting))


@pytest.fixture(autouse=True)
def nothing_is_trained(monkeypatch):
    monkeypatch.setattr(sweeps, "train_missing", lambda settings, models: settings)


def small(sweep):
    """A sweep of few sizes on few prompts."""
    return replace(
        sweep,
        dims=DIMS,
        layers=(1, 2, 4, 8, 16),
        widths=(4, 8, 16),
        heads=(1,),
        rates=(1e-3, 2e-3),
        model=replace(sweep.model, layers=8, width=8),
        steps=None,
        evaluation=Evaluation(prompts=200, resamples=50),
    )


NOISE = 0.01  # far below the differences of learners, whose mean squares are above 1e-3
THREE = fig3.Config(small(fig3.PRESETS["tiny"].sweep), fitted=50)
EIGHT = small(fig8.PRESETS["tiny"])


def by_depth(setting):
    """What the paper says: GD with one layer, then ridge, then OLS."""
    layers = setting.model.layers
    if layers >= 8:
        return LeastSquares()
    return Ridge(0.1) if layers > 1 else GradientDescent(1, 0.02)


def by_width(setting):
    """Likewise, by how many times the dimension the width is."""
    share = setting.model.width / setting.task.dim
    if share >= 4:
        return LeastSquares()
    return Ridge(0.5) if share >= 2 else OnePassSGD(0.03)


def verdicts(claims):
    return {c.id.removeprefix("akyurek2023."): c.verdict for c in claims}


def judged(learner):
    """Verdicts on Figure 3, of which only the distances are computed."""
    return verdicts(fig3.claims(distances(learner)))


def distances(learner):
    """Those of Figure 3, without the best alpha and number of steps."""
    learners = [
        *itertools.chain(*fig3_claims.FAMILIES.values()),
        fig3_claims.PREDICTS_ZERO,
    ]
    models = Planted(learner, noise=NOISE)
    return size_sweep.measure(THREE.sweep, models, learners, ["n < d"], pooled=False)


@pytest.fixture(scope="module")
def as_the_paper_says():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeps, "train_missing", lambda settings, models: settings)
        return fig3.compute(THREE, Planted(by_depth, noise=NOISE))


# --- which models ---


def test_lines_cross_in_one_shape():
    assert THREE.sweep.shapes == [
        *(Shape(layers, 8, 1) for layers in (1, 2, 4, 8, 16)),
        *(Shape(8, width, 1) for width in (4, 16)),
    ]
    lines = THREE.sweep.points(pooled=False)
    assert lines[Point("layers", 2)] == [Shape(2, 8, 1)]
    assert lines[Point("width", 8)] == lines[Point("heads", 1)] == [Shape(8, 8, 1)]


def test_all_models_that_have_a_value_can_be_pooled():
    pooled = THREE.sweep.points(pooled=True)
    assert pooled[Point("layers", 2)] == [Shape(2, 8, 1)]
    assert {shape.width for shape in pooled[Point("layers", 8)]} == {4, 8, 16}
    assert pooled[Point("heads", 1)] == THREE.sweep.shapes


def test_a_full_grid_has_every_shape_that_exists():
    config = replace(EIGHT, full_grid=True, heads=(1, 8))
    made = {(s.layers, s.width, s.heads) for s in config.shapes}
    assert len(config.shapes) == len(made) == 5 * (3 + 2)  # no 8 heads at width 4
    assert config.points(pooled=False)[Point("width", 4)] == [
        Shape(n, 4, 1) for n in config.layers
    ]
    assert {s.width for s in config.points(pooled=True)[Point("heads", 8)]} == {8, 16}


def test_the_paper_has_all_of_its_grid():
    """288 runs for each dimension and seed (6 x 6 x 4 shapes, two rates)."""
    config = fig3.PRESETS["paper"].sweep
    assert len(config.runs(16)) == 288 * len(config.seeds)
    assert {run.task.length for run in config.runs(16)} == {40}
    assert fig8.PRESETS["paper"].dims == (1, 2, 4, 8, 12, 16, 20)


def test_figure_8_needs_all_runs_of_figure_3_at_quick():
    three, eight = (set(f.FIGURE.settings(f.PRESETS["quick"])) for f in (fig3, fig8))
    assert {(s.task.dim, s.task.length, s.train.steps) for s in eight} == {
        (1, 3, 4_000),
        (2, 5, 4_000),
        (4, 9, 4_000),
        (8, 17, 6_000),
    }
    assert len(three - eight) == 2 * 4  # shallow shapes, further seeds
    assert len(three & eight) == 2 * 8  # dimensions, shapes
    assert len(eight) == 4 * 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dims": ()}, "dims must be ascending, at least one"),
        ({"layers": (2, 1)}, r"layers must be ascending.*got \(2, 1\)"),
        ({"seeds": (1, 1)}, "none of them twice"),
        ({"widths": (0, 8)}, "widths must be an integer >= 1, got 0"),
        ({"steps": (10,)}, "one number for each of the 2 dims"),
        ({"pairs": 3}, "pairs must be an integer >= 4"),
        ({"heads": (3,), "full_grid": True}, "is part of no shape: width must be div"),
        ({"evaluation.prompts": 40}, "at most evaluation.prompts=40, got 50"),
    ],
)
def test_impossible_sweeps_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        changed(THREE, changes)


def test_a_sweep_is_written_on_the_command_line_and_read_again():
    changes = {
        "dims": (2, 3),
        "rates": (1e-3, 0.01),
        "seeds": (0, 1),
        "steps": (50, 70),
        "full_grid": True,
        "pairs": 6,
        "evaluation.seed": 3,
    }
    figure = fig3.FIGURE
    config = changed(fig3.PRESETS["tiny"], changes)
    line = command_line(figure, "tiny", config)
    words = line.split()[3:]
    assert command.parse(figure.name, figure.presets, words).config == config


# --- which run of a point ---


def test_the_lower_validation_loss_is_chosen_whatever_the_distance():
    """At the rate of lower loss the model is further from OLS, the plotted learner."""

    def learner(setting):
        slow = setting.train.learning_rate == 1e-3
        return Ridge(0.5) if slow else LeastSquares()

    models = Planted(learner, loss=lambda s: s.train.learning_rate)
    found = size_sweep.measure(
        THREE.sweep, models, [LeastSquares(), Ridge(0.5)], ["n < d"], pooled=False
    )
    assert (found.best_rate == 1e-3).all() and (found.best_loss == 1e-3).all()
    to_ols, to_ridge = found.distance.mean("prompt").transpose("learner", ...)
    assert (to_ols > 1e-3).all() and (to_ridge == 0).all()
    # The other rule takes, for each learner, the run nearest to it.
    assert (found.least_distance == 0).all()


def test_all_other_sizes_are_chosen_among_in_a_full_grid():
    config = replace(EIGHT, full_grid=True, layers=(1, 2), rates=(1e-3,))
    models = Planted(
        lambda setting: LeastSquares(),
        loss=lambda s: abs(s.model.width - 8) + s.model.layers,
    )
    found = size_sweep.measure(
        config, models, [LeastSquares()], ["n < d"], pooled=False
    )
    best = found.best_shape.isel(dim=0, seed=0)
    assert best.sel(point="width=16").item() == str(Shape(1, 16, 1))
    assert best.sel(point="layers=2").item() == str(Shape(2, 8, 1))
    assert best.sel(point="heads=1").item() == str(Shape(1, 8, 1))
    assert found.validation_loss.sizes == {"dim": 2, "shape": 6, "rate": 1, "seed": 1}


def test_each_seed_chooses_for_itself():
    config = replace(EIGHT, seeds=(0, 1, 2))
    models = Planted(
        lambda setting: Ridge(0.1) if setting.seed == 1 else LeastSquares(),
        loss=lambda s: s.train.learning_rate * (-1) ** s.seed + 1,
    )
    found = size_sweep.measure(
        config, models, [LeastSquares()], ["n < d"], pooled=False
    )
    assert found.best_rate.isel(dim=0, point=0).values.tolist() == [1e-3, 2e-3, 1e-3]
    assert [run.seed for _, run in size_sweep.chosen(config, found)][:3] == [0, 1, 2]
    assert (found.distance.mean("prompt").sel(seed=1) > 0).all()
    assert (found.distance.sel(seed=[0, 2]) == 0).all()
    judge = size_claims.judge_of(found, "fig8")
    assert judge.note == ""
    # Of three seeds one is away from 0, and who knows what a fourth would do?
    value, low, high = judge.resampled.band(
        lambda means: means.distance.sel(point="heads=1", dim=4)
    )
    assert low.item() < 0 < value.item() < high.item() / 4


def test_failed_runs_are_never_chosen_and_a_failed_point_is_undecided():
    def learner(setting):
        failed = setting.model.layers == 2 or (
            setting.model.layers == 8 and setting.train.learning_rate == 1e-3
        )
        return None if failed else by_depth(setting)

    config = changed(THREE, {"layers": (2, 8), "widths": (8,)})
    found = fig3.compute(config, Planted(learner, noise=NOISE))
    assert found.distance.sel(point="layers=2").isnull().all()
    assert found.effective.sel(point="layers=2").isnull().all()
    assert (found.best_rate.sel(point="layers=8") == 2e-3).all()
    told = fig3.claims(found)
    two, eight = (next(c for c in told if c.id.endswith(i)) for i in ("16a", "17a"))
    # Two rates of one depth, and one of the other; two dimensions.
    assert "6 of 8 runs failed" in eight.note and eight.verdict == "holds"
    assert two.verdict == "undecided" and "NaN" in two.note
    assert fig3.plot(found).axes


# --- distances ---


def test_distances_of_least_squares_are_those_of_the_oracle():
    """Section 2.4 of our notes on the paper: 20,000 prompts at d = 8, mean n = 1..7."""
    config = replace(
        THREE.sweep,
        dims=(8,),
        layers=(8,),
        widths=(8,),
        rates=(1e-3,),
        evaluation=Evaluation(prompts=4_000, resamples=50),
    )
    learners = [
        *itertools.chain(*fig3_claims.FAMILIES.values()),
        fig3_claims.PREDICTS_ZERO,
    ]
    models = Planted(lambda setting: LeastSquares())
    found = size_sweep.measure(config, models, learners, ["n < d"], pooled=False).sel(
        point="layers=8"
    )
    oracle = {
        "Ridge(0.1)": 0.0064,
        "Ridge(0.5)": 0.0270,
        "GD(0.01)": 0.363,
        "GD(0.02)": 0.270,
        "SGD(0.01)": 0.366,
        "SGD(0.03)": 0.215,
        "3-NN uniform": 0.751,
        "3-NN weighted": 0.668,
        # E|w_OLS|^2 / d = n / d, averaged over n = 1..7.
        fig3_claims.PREDICTS_ZERO.name: 0.5,
    }
    distance = found.distance.squeeze()
    mean = distance.mean("prompt")
    error = distance.std("prompt") * np.sqrt(1 / 4_000 + 1 / 20_000)
    assert mean.sel(learner="OLS") == 0
    for name, expected in oracle.items():
        # Four standard errors of both samples, and the rounding of the table.
        tolerance = 4 * float(error.sel(learner=name)) + 0.5 * 10 ** -(
            3 if expected > 0.1 else 4
        )
        assert float(mean.sel(learner=name)) == pytest.approx(expected, abs=tolerance)


def test_regions_end_before_d_and_at_2d():
    models = Planted(lambda setting: Ridge(0.5))
    found = fig8.compute(EIGHT, models).sel(learner=["OLS"])
    prompts = size_sweep.evaluated(EIGHT, 4)
    difference = Ridge(0.5)(prompts).predictions - LeastSquares()(prompts).predictions
    squares = np.asarray(difference) ** 2 / 4
    at = found.distance.sel(dim=4, point="heads=1").squeeze()
    # Stored in float32, which has seven digits.
    for region, last in (("n < d", 3), ("n <= 2d", 8)):
        expected = squares[:, 1 : last + 1].mean(axis=1)
        np.testing.assert_allclose(at.sel(region=region), expected, rtol=1e-5)


# --- figure 3 ---


def test_the_planted_shift_is_found(as_the_paper_says):
    told = fig3.claims(as_the_paper_says)
    holds = {"14a", "14b", "16a", "16b", "16c", "16d", "17a", "17b", "20a", "20c"}
    found = verdicts(told)
    assert {id for id in holds if found[id] == "holds"} == holds
    # OLS at every width, and a perfect fit at one layer.
    assert {found[id] for id in ("15a", "15b", "18c", "19b")} == {"fails"}
    (one,) = (c for c in told if c.id.endswith("14a"))
    assert one.interval_over == "prompts, for one trained model; simultaneous"
    # Models of few prompts hang on some of them, and the page says so.
    assert "One prompt alone moves it by" in one.note


def test_the_strip_names_the_nearest_learner(as_the_paper_says):
    figure = fig3.plot(as_the_paper_says)
    strip = [text.get_text() for text in figure.axes[6].texts]  # d = 4, by depth
    assert strip == ["GD\n(0.02)", "Ridge\n(0.1)", "Ridge\n(0.1)", "OLS", "OLS"]
    said = [text.get_text() for text in figure.legends[0].texts]
    drawn = {f"{family} is nearest" for family in ("GD/SGD", "ridge", "OLS")}
    assert {text for text in said if text.endswith(" is nearest")} == drawn
    # No marks are drawn, and no size had several runs to choose from.
    assert not set(fig3.MARKS.values()) & set(said)
    assert "the run nearest to the learner" not in said
    lines = [line.get_linestyle() for axes in figure.axes for line in axes.lines]
    assert ":" not in lines


def test_other_runs_are_drawn_where_one_was_nearer(as_the_paper_says):
    nearer = as_the_paper_says.least_distance / 2
    figure = fig3.plot(as_the_paper_says.assign(least_distance=nearer))
    said = [text.get_text() for text in figure.legends[0].texts]
    assert "the run nearest to the learner" in said
    assert ":" in [line.get_linestyle() for line in figure.axes[0].lines]


def test_the_best_alpha_and_number_of_steps_are_those_planted(as_the_paper_says):
    value = as_the_paper_says.effective.sel(dim=4, bound="value").squeeze()
    edge = as_the_paper_says.effective.sel(dim=4, bound="at_end").squeeze()
    alpha = value.sel(point="layers=2", path="alpha")
    assert alpha == pytest.approx(0.1, rel=0.05)  # `effective` promises 5 %
    # A flow slows down as it goes: it takes longer than one step of rate 0.02.
    steps = value.sel(point="layers=1", path="steps")
    assert 2 < steps < 3
    assert edge.sel(point="layers=8").values.tolist() == [-1, 1]
    assert (edge.sel(point=["layers=1", "layers=2"]) == 0).all()


def test_a_shift_by_width_is_found():
    found = judged(by_width)
    assert {found[id] for id in ("18a", "18b", "18c", "19a", "19b", "20b", "20d")} == {
        "holds"
    }


def test_least_squares_everywhere_is_no_shift():
    found = judged(lambda setting: LeastSquares())
    assert {found[id] for id in ("14a", "14b", "16a", "16d", "19b")} == {"fails"}
    assert {found[id] for id in ("17a", "17b", "18a", "18b", "19a")} == {"holds"}


def test_a_way_back_is_seen():
    def learner(setting):
        back = setting.model.width == 16 or setting.model.layers == 16
        return Ridge(0.1) if back else LeastSquares()

    found = judged(learner)
    assert {found[id] for id in ("17a", "17b", "19a", "20a", "20c")} == {"fails"}


def test_a_model_that_predicts_nothing_is_told_apart():
    """The smallest step is nearest to it, and the claim by itself would hold."""
    told = fig3.claims(distances(lambda setting: fig3_claims.PREDICTS_ZERO))
    claims = [c for c in told if c.id.removeprefix("akyurek2023.")[:2] in ("14", "15")]
    empty = {c.id for c in claims if c.verdict == "empty"}
    assert empty == {f"akyurek2023.{id}" for id in ("14a", "14b", "15a", "15b")}
    assert all("predicting 0 is nearer" in c.empty for c in claims if c.id in empty)
    told = fig3.claims(distances(by_depth))
    assert not any(c.empty for c in told)


def test_a_width_that_was_not_trained_is_not_judged_by_larger_ones():
    config = changed(THREE, {"dims": (2, 4), "layers": (1,), "widths": (8, 16)})
    models = Planted(lambda setting: LeastSquares(), noise=NOISE)
    told = fig3.claims(fig3.compute(config, models))
    told = {c.id.removeprefix("akyurek2023."): c for c in told}
    assert told["18a"].verdict == "undecided" and "width 4" in told["18a"].note
    assert told["18b"].verdict == "holds"


@pytest.mark.parametrize("figure", [fig3, fig8])
def test_every_claim_is_there_at_every_size_of_run(figure):
    """One dimension, one depth, one width: all that cannot be said is undecided."""
    config = changed(
        figure.PRESETS["tiny"],
        {"dims": (2,), "layers": (3,), "widths": (64,), "heads": (2,)},
    )
    models = Planted(lambda setting: LeastSquares(), noise=NOISE)
    dataset = figure.compute(config, models)
    told = figure.claims(dataset)
    numbers = {c.id.removeprefix("akyurek2023.")[:2] for c in told}
    expected = range(14, 21) if figure is fig3 else range(21, 24)
    assert numbers == {str(number) for number in expected}
    missing = [c for c in told if c.verdict == "undecided"]
    assert missing and all("This run has" in c.note for c in missing)
    assert figure.plot(dataset).axes


# --- figure 8 ---


def enough(setting):
    """OLS from a width of d and a depth of 2d on."""
    model, dim = setting.model, setting.task.dim
    large = model.width >= dim and model.layers >= 2 * dim
    return LeastSquares() if large else Ridge(0.1)


def test_the_smallest_sizes_are_those_planted():
    found = fig8.compute(EIGHT, Planted(enough, noise=NOISE))
    excess = fig8_claims.excess(size_claims.resample(found).means)
    for size, expected in (("width", [4, 4]), ("layers", [4, 8]), ("heads", [1, 1])):
        values = size_claims.values(found, size)
        needed = fig8_claims.first_below(excess, size, values)
        needed = needed.squeeze("seed")
        assert needed.sel(region="n < d").values.tolist() == expected
        assert needed.sel(region="n <= 2d").values.tolist() == expected
    assert verdicts(fig8.claims(found)) == {
        "21": "holds",
        "22a": "holds",
        "22b": "holds",
        "22c": "holds",
        "22d": "holds",
        "23": "holds",
    }


def test_what_is_never_reached_stands_above_the_largest():
    found = fig8.compute(EIGHT, Planted(lambda setting: Ridge(0.1), noise=NOISE))
    excess = fig8_claims.excess(size_claims.resample(found).means)
    needed = fig8_claims.first_below(excess, "layers", EIGHT.layers)
    assert (needed == 32).all()
    told = verdicts(fig8.claims(found))
    assert {told[id] for id in ("21", "22a", "22b", "23")} == {"fails"}
    assert told["22c"] == told["22d"] == "undecided"  # "never falls" would be empty
    labels = [tick.get_text() for tick in fig8.plot(found).axes[1].get_yticklabels()]
    assert labels == ["1", "2", "4", "8", "16", "not reached"]


def test_a_need_that_falls_with_dimension_is_seen():
    def learner(setting):
        need = {2: 8, 4: 2}[setting.task.dim]
        return LeastSquares() if setting.model.layers >= need else Ridge(0.1)

    told = verdicts(fig8.claims(fig8.compute(EIGHT, Planted(learner, noise=NOISE))))
    assert told["22d"] == "fails" and told["22c"] == "holds"


def test_the_width_of_the_construction():
    assert fig8_claims.construction(16) == 851  # claim 23 of our notes on the paper
