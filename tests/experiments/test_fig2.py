"""Figure 2 on learners whose place in its table is known, and intervals over seeds."""

import functools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from experiments.akyurek2023 import fig2, fig2_claims, fig2_measure
from experiments.engine.claims import intervals
from experiments.engine.figures import runs
from experiments.engine.figures.changes import changed
from experiments.reference_models import PROBING
from icl import LinearRegression, inference, sweeps
from icl.baselines import PosteriorMean, Ridge

SMALL = changed(
    fig2.PRESETS["quick"],
    {"seeds": 1, "evaluation.prompts": 600, "evaluation.resamples": 100},
)
ORDER = [f"akyurek2023.{n}" for n in ("10a", "10b", "10c", "10d", "10e", "11", "12a")]


def bayes(setting):
    """The Bayes predictor of a column."""
    return PosteriorMean(setting.task.noise_std, setting.task.weight_std)


def measured(learner, config=SMALL):
    """Figure 2 where `learner(setting)` stands for the model of each setting."""
    found = {setting: learner(setting) for setting in fig2_measure.settings(config)}
    return fig2_measure.measure(config, found)


def verdicts(dataset):
    return {claim.id: claim.verdict for claim in fig2.claims(dataset)}


class Perturbed:
    """A learner whose predictions are off by noise of its own seed."""

    def __init__(self, learner, seed, scale):
        self.learner, self.seed, self.scale = learner, seed, scale

    def __call__(self, prompts):
        solution = self.learner(prompts)
        generator = np.random.default_rng(self.seed)
        error = self.scale * generator.standard_normal(prompts.ys.shape)
        return solution._replace(predictions=solution.predictions + error)


@pytest.fixture(scope="module", autouse=True)
def drawn_once():
    """Prompts of each task: compiling what draws them takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "sample", functools.cache(inference.sample))
        yield


@pytest.fixture(scope="module")
def ideal():
    """Models that are the Bayes predictor."""
    return measured(bayes)


@pytest.fixture(scope="module")
def seeds():
    """Three models in each column, near the Bayes predictor; of one training failed."""
    config = replace(SMALL, seeds=3)
    settings = fig2_measure.settings(config)
    found = {s: Perturbed(bayes(s), s.seed, 0.05) for s in settings if s != settings[7]}
    return fig2_measure.measure(config, found)


# --- what is measured ---


def test_models_are_those_of_five_levels_of_noise_and_three_seeds():
    settings = fig2_measure.settings(fig2.PRESETS["quick"])
    levels = [(s.task.noise_std, s.task.weight_std, s.seed) for s in settings]
    assert levels == [
        (*level, seed) for level in fig2_measure.NOISE for seed in range(3)
    ]
    assert settings[0] == PROBING["quick"]  # shared with the figures on probing
    assert {(s.model, s.train) for s in settings} == {
        (settings[0].model, settings[0].train)
    }


def test_the_table_of_the_bayes_predictor_is_that_of_numpy(ideal):
    """Ridge regression by the normal equations, in float64, prompt by prompt."""
    for column, (noise_std, weight_std) in enumerate(fig2_measure.NOISE):
        task = replace(SMALL.setting.task, noise_std=noise_std, weight_std=weight_std)
        prompts, _ = SMALL.evaluation.sample(task)
        xs, ys = (np.asarray(array, float) for array in (prompts.xs, prompts.ys))
        predicted = np.zeros((5, SMALL.evaluation.prompts, 3))
        for n in range(1, 4):
            x, y = xs[:, :n], ys[:, :n, None]
            for row, alpha in enumerate(fig2_measure.ALPHAS):
                gram = x @ x.swapaxes(1, 2) + alpha * np.eye(n)
                w = x.swapaxes(1, 2) @ np.linalg.solve(gram, y)
                predicted[row, :, n - 1] = (w[..., 0] * xs[:, n]).sum(axis=1)
        expected = ((predicted - predicted[column]) ** 2).mean(axis=-1) / 4
        # Predictions are rounded to float32: 1e-7 of values up to 50 or so, squared.
        np.testing.assert_allclose(ideal.bayes[column], expected, rtol=1e-3, atol=1e-10)
        np.testing.assert_allclose(
            ideal.distance[column, 0], expected, rtol=1e-3, atol=1e-10
        )


def test_distances_at_the_papers_dimension_are_those_of_the_oracle(ideal):
    """Mean over n = 1..7 of SPD / d by 20,000 prompts of an independent simulation."""
    found = ideal.ols_to_ridge.sel(alpha=[1 / 16, fig2_measure.ALPHAS[-1]])
    error = found.std("prompt") / SMALL.evaluation.prompts**0.5
    # Four standard errors, and half a unit of the last digit of the reference.
    expected, digit = np.array([4.1e-3, 2.5e-2]), np.array([5e-5, 5e-4])
    assert (abs(found.mean("prompt") - expected) < 4 * error + digit).all()


def test_fewer_contexts_are_those_where_the_mean_exists(ideal):
    """At d = 4 that is n = 1, where ridge shrinks OLS by s / (s + alpha), s = |x|^2."""
    prompts, _ = SMALL.evaluation.sample(SMALL.setting.task)
    x, y = np.asarray(prompts.xs, float), np.asarray(prompts.ys, float)[:, 0]
    squares = (x[:, 0] ** 2).sum(axis=1)
    ols = (x[:, 0] * x[:, 1]).sum(axis=1) * y / squares
    alphas = np.array(fig2_measure.ALPHAS)[:, None]
    expected = (ols * alphas / (squares + alphas)) ** 2 / 4
    # float32 predictions, as above.
    np.testing.assert_allclose(
        ideal.early_distance[0, 0], expected, rtol=1e-3, atol=1e-10
    )


def test_what_is_not_finished_has_no_data(monkeypatch):
    """A failed run stops nothing, and is not asked for."""
    config = replace(SMALL, seeds=2)
    settings = fig2_measure.settings(config)

    def models(setting):
        assert setting != settings[3]
        return SimpleNamespace(model=bayes(setting))

    finished = [*settings[:3], *settings[4:]]
    monkeypatch.setattr(sweeps, "train_missing", lambda asked, models: finished)
    dataset = fig2.compute(config, models)
    missing = dataset.distance.isnull().all(("alpha", "prompt"))
    assert np.argwhere(missing.values).tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": LinearRegression(dim=4, length=3)}, "task.length .* >= 4"),
        ({"seeds": 0}, "seeds .* >= 1"),
        ({"evaluation.prompts": 1}, "prompts .* >= 2"),
    ],
)
def test_settings_that_cannot_be(change, said):
    with pytest.raises(ValueError, match=said):
        changed(SMALL, change)


# --- claims ---


def test_every_claim_holds_for_the_bayes_predictor(ideal):
    assert set(verdicts(ideal).values()) == {"holds"}
    sampled = fig2_claims.resample(ideal)
    assert (fig2_claims.diagonal(sampled.means.distance) == 0).all()
    assert (sampled.means.distance > 0).sum() == 20


def test_claims_fail_for_a_model_that_takes_no_notice_of_noise():
    """All but OLS, which itself would be at distance 0."""
    found = verdicts(measured(lambda _: Ridge(1e-3)))
    assert found["akyurek2023.10a"] == found["akyurek2023.13b"] == "holds"
    failing = [*ORDER[1:5], "akyurek2023.12b", "akyurek2023.12c", "noise.mean"]
    assert {found[id] for id in failing} == {"fails"}
    assert found["akyurek2023.11"] != "holds"


def test_a_model_that_is_somewhat_off_is_ordered_but_not_close(seeds):
    for seed in (0, 2):  # the two that are there
        found = verdicts(seeds.isel(seed=[seed]))
        assert {found[id] for id in ORDER} == {"holds"}
        assert found["akyurek2023.12c"] == "fails"
    found = verdicts(seeds.isel(seed=[0, 2]))  # two tell little of a third
    assert "fails" not in {found[id] for id in ORDER}


def test_a_column_without_a_model_is_not_judged(seeds):
    claims = {claim.id: claim for claim in fig2.claims(seeds)}
    (failed,) = fig2_claims.failures(seeds)
    assert failed == "sigma^2/tau^2 = 1/9, seed 1"
    lost = {id for id, claim in claims.items() if np.isnan(claim.value)}
    about_all = {"akyurek2023.11", "akyurek2023.12a", "noise.mean"}
    assert lost == {"akyurek2023.10c"} | about_all
    for id in lost:
        assert claims[id].verdict == "undecided" and failed in claims[id].note
    assert claims["akyurek2023.10b"].verdict == "holds"


def test_claims_tell_what_their_intervals_are_over(ideal, seeds):
    said = {"prompts, for one trained model": ideal, "prompts and 3 seeds": seeds}
    for words, dataset in said.items():
        first, *_, published = fig2.claims(dataset)
        assert first.interval_over == f"{words}; simultaneous"
        assert "no trained model" in published.interval_over
        assert published.subject == "theory"


def test_a_run_without_the_contexts_of_the_mean_says_so():
    small = changed(fig2.PRESETS["tiny"], {"evaluation.resamples": 50})
    claims = {claim.id: claim for claim in fig2.claims(measured(bayes, small))}
    assert claims["noise.mean"].verdict == "undecided"
    assert "no such n" in claims["noise.mean"].note
    assert {claims[id].verdict for id in ORDER} == {"holds"}
    assert "d = 2" in claims["akyurek2023.11"].text


def test_the_published_table_is_refuted_by_learners_alone(ideal):
    """Its Ridge(4/9) is the nearest to what it may be: 2.4e-2 against 5.3e-3."""
    bound = fig2_claims.allowed(ideal.published.sel(noise=0.0))
    assert float(bound[-1]) == pytest.approx(5.3e-3, rel=0.01)
    claim = fig2.claims(ideal)[-1]
    assert claim.id == "noise.published" and claim.verdict == "holds"
    assert 3 < claim.value < 6  # 4.6 of many prompts


# --- statistics ---


def table(*columns):
    """Distances with a row for each alpha."""
    alphas = list(fig2_measure.ALPHAS)
    values = np.array(columns, float)
    coords = {"noise": alphas[: len(columns)], "alpha": alphas}
    return xr.DataArray(values, coords, dims=("noise", "alpha"))


def test_ratios_of_columns():
    distance = table([1, 2, 4, 8, 16], [6, 3, 2, 8, 9])
    assert fig2_claims.diagonal(distance).values.tolist() == [1, 3]
    ratios = fig2_claims.to_others(distance)
    assert ratios.isel(noise=0).values.tolist() == [1 / 2, 1 / 4, 1 / 8, 1 / 16]
    assert ratios.isel(noise=1).values.tolist() == [3 / 6, 3 / 2, 3 / 8, 3 / 9]
    assert fig2_claims.to_ols(distance).values.tolist() == [1, 0.5]
    # The second column falls from its diagonal, 3, to 2.
    assert fig2_claims.steepness(distance).max("alpha").values.tolist() == [0.5, 1.5]


def test_steps_on_both_sides_of_the_diagonal_count():
    rising, dented = [9, 6, 3, 4, 8], [9, 9.5, 3, 4, 8]
    columns = table([1, 2, 3, 4, 5], [2, 1, 3, 4, 5], rising)
    assert float(fig2_claims.steepness(columns).isel(noise=2).max()) == 0.75
    columns = table([1, 2, 3, 4, 5], [2, 1, 3, 4, 5], dented)
    assert float(fig2_claims.steepness(columns).isel(noise=2).max()) == 9.5 / 9


def test_the_triangle_inequality_is_sharp_on_a_line():
    """OLS at -2, the model at 0, the predictors at 2, 1, ...: distances are squares."""
    published = table([4, 4, 1, 9, 0]).isel(noise=0)
    assert fig2_claims.allowed(published).values.tolist() == [16, 16, 9, 25, 4]


@pytest.mark.parametrize("best", [0.01, 0.0703, 0.3, 1.9])
def test_the_best_penalty_is_the_vertex_of_a_parabola(best):
    logs = np.log(np.array(fig2_measure.PENALTIES) / best)
    path = xr.DataArray(
        3 + logs**2, {"penalty": list(fig2_measure.PENALTIES)}, ["penalty"]
    )
    # Exact but for the rounding of float64.
    assert float(fig2_claims.best_penalty(path)) == pytest.approx(best, rel=1e-9)


def test_the_best_penalty_beyond_the_grid_is_its_end():
    ends = fig2_measure.PENALTIES[0], fig2_measure.PENALTIES[-1]
    curves = np.log(np.outer(1 / np.array([1e-5, 99]), fig2_measure.PENALTIES)) ** 2
    curves = np.concatenate([curves, np.full((1, len(fig2_measure.PENALTIES)), np.nan)])
    coords = {"penalty": list(fig2_measure.PENALTIES)}
    found = fig2_claims.best_penalty(xr.DataArray(curves, coords, ["case", "penalty"]))
    np.testing.assert_allclose(found, [*ends, np.nan], rtol=1e-12)


def test_the_best_penalty_of_a_ridge_regression_is_its_own():
    path = measured(lambda _: Ridge(0.2)).distance_by_penalty.median("prompt")
    # The parabola through steps of sqrt 2 misses by what the curve has of third order.
    np.testing.assert_allclose(fig2_claims.best_penalty(path), 0.2, rtol=0.05)


# --- intervals over prompts and seeds ---


def sampled(values, **options):
    """The mean with its interval, of values over (seed, prompt)."""
    array = xr.Dataset({"a": (("seed", "prompt"), values)})
    found = intervals.resample(array, ("prompt",), **{"resamples": 500} | options)
    return tuple(float(part) for part in found.band(lambda means: means.a))


def test_equal_seeds_have_the_interval_of_one():
    values = np.random.default_rng(0).normal(size=60)
    one, five = sampled(values[None]), sampled(np.tile(values, (5, 1)))
    # Percentiles of 500 resamples, or 1.96 of their standard deviations.
    np.testing.assert_allclose(five, one, atol=0.06)


@pytest.mark.parametrize("count", [2, 3, 12])
def test_coverage_of_intervals_over_seeds(count):
    """Bounds are 3 standard errors of a share of 200, below and above 95 to 99 %."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        values = rng.normal(size=(count, 1)) + 0.5 * rng.normal(size=(1, 40))
        _, low, high = sampled(values, resamples=300)
        covered += low < 0 < high
    assert 0.905 < covered / 200


def test_medians_are_over_prompts_and_means_over_seeds():
    values = np.random.default_rng(0).normal(size=(3, 61)) ** 3
    median, low, high = sampled(values, statistic="median")
    assert median == pytest.approx(np.median(values, axis=1).mean())
    assert low < median < high


def test_what_is_missing_of_every_prompt_stays_missing():
    values = np.ones((3, 10))
    values[1] = np.nan
    assert np.isnan(sampled(values)).all()
    values[1, 3:] = 1
    with pytest.raises(ValueError, match="finite"):
        sampled(values)


# --- the picture ---


@pytest.fixture
def written(monkeypatch):
    """A function: everything that is written in a figure, with the box around it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    drawn, draw = {}, Text.draw

    def watched(text, renderer):  # ticks beyond the ends of an axis are not drawn
        draw(text, renderer)
        if text.get_visible() and text.get_text().strip():
            drawn[text] = text.get_window_extent(renderer)

    def texts(figure):
        drawn.clear()
        FigureCanvasAgg(figure).draw()
        return [(text.get_text(), box) for text, box in drawn.items()]

    monkeypatch.setattr(Text, "draw", watched)
    return texts


@pytest.mark.parametrize("which", ["ideal", "seeds"])
def test_nothing_is_written_over_something_else(which, request, written):
    texts = written(fig2.plot(request.getfixturevalue(which)))
    clashes = [
        (a, b)
        for i, (a, box) in enumerate(texts)
        for b, other in texts[i + 1 :]
        if box.overlaps(other)
    ]
    assert not clashes


def test_cells_tell_their_numbers_or_that_a_run_failed(ideal, seeds, written):
    cells = [text for text, _ in written(fig2.plot(ideal))]
    # On the diagonals of the models, which are the Bayes predictor, and of that.
    assert cells.count("0") == 10 + 4  # and four ticks
    assert "1.3e-5" in cells and "6.1e-5" in cells  # the paper's corners
    assert "run\nfailed" not in cells
    cells = [text for text, _ in written(fig2.plot(seeds))]
    assert cells.count("run\nfailed") == 5


def test_figure_and_claims_follow_from_the_file(seeds, tmp_path, written):
    again = runs.kept(tmp_path / "run", lambda: seeds, fig2.claims)
    assert list(map(str, fig2.claims(again))) == list(map(str, fig2.claims(seeds)))
    before, after = (written(fig2.plot(each)) for each in (seeds, again))
    assert [text for text, _ in before] == [text for text, _ in after]
