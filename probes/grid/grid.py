"""`probe_grid`: how well a quantity can be read out of each layer, at each token.

One probe is fitted for every layer, token and target and scored on prompts that it has
not seen. The split is by prompt (or by group of prompts), never by row: tokens of one
prompt share their weight vector, and a probe that meets it on both sides of the split
scores high on targets that have nothing to do with the features.

A score means little alone. Beside it stand the score that the same probe reaches on
targets of *other* prompts (the control, which a sound split keeps at or below zero), an
interval from resampling the test prompts, and the ceiling, where it is known: the
score of a reader who takes everything there is from the context. `probes.controls` has
more to hold a score against.

Shapes: `hidden` (layers, prompts, tokens, features); a target (prompts, q), where q is
its number of coordinates. `probes.scores` says what the scores are, and when each
misleads.

The probe decides which engine (`probes.grid.engines`) fits it: ridge regression from
one pass over the prompts, pooled probes fitted all at once, or scikit-learn's own `fit`
and `predict` for any other regressor. If it is a classifier, the targets are labels and
the scores are those of `probes.grid.labels`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from probes import cautions, checks, scores
from probes.arrays import real
from probes.grid.columns import Columns
from probes.grid.engines import Engine, Variables, engine_for
from probes.grid.labels import LabelBoard
from probes.grid.leave_out import LeftOut
from probes.grid.problem import Problem
from probes.grid.progress import Progress
from probes.grid.reading import (
    read_targets,
    refuse_too_few,
    states_of,
    strata_of,
)
from probes.grid.ridge_spec import ALPHAS
from probes.grid.sample_weights import SampleWeights
from probes.grid.scoreboard import Scoreboard
from probes.grid.sources import (
    Hidden,
    comes_in_order,
    open_source,
)
from probes.grid.splits import Split, split
from probes.grid.tokens import TokenAxis
from probes.groups import group_labels, repeated_rows
from probes.label_checks import given_labels

MOST = 1_000_000
"""The largest number of resamples: more would not fit into memory."""


def probe_grid(
    hidden: Hidden,
    targets: Mapping[str, ArrayLike],
    *,
    groups: ArrayLike | None = None,
    valid: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    probe: BaseEstimator | None = None,
    alphas: Sequence[float] = ALPHAS,
    contexts: ArrayLike | None = None,
    tokens: Sequence[str] | None = None,
    at: Sequence[Any] | None = None,
    ceilings: Mapping[str, ArrayLike | float] | None = None,
    control: bool = True,
    test_fraction: float = 0.25,
    validation_fraction: float | None = None,
    resamples: int = 1_000,
    seed: int = 0,
    batch: int = 512,
    coefficients: bool = False,
    keep_resamples: bool = False,
    progress: bool | None = None,
) -> xr.Dataset:
    """Fits and scores one probe for every layer, token and target.

    Args:
        hidden: hidden states, (layers, prompts, tokens, features): an array of NumPy,
            JAX or anything that NumPy can read, memory-mapped or not. Or, for more
            prompts than memory holds, a function that returns them for given rows
            (indices of prompts), `hidden(rows)`; or an iterator over batches of them
            along the axis of prompts, whose last prompts are then the test prompts.
            These two need a ridge probe, and each prompt is asked for once.
        targets: what to read out, by name: (prompts, q) for a value that all tokens
            share; (prompts, tokens, q) for one value per token; (prompts, contexts, q)
            together with `contexts`. A scalar has q = 1; two axes are always
            (prompts, q), never (prompts, tokens). For a classifier: labels (integers,
            booleans or strings), (prompts,), (prompts, tokens) or (prompts, contexts).
        groups: a label for each prompt, (prompts,). Prompts with the same label, such
            as those that share a weight vector, stay on one side of the split. By
            default each prompt is its own group, and a target is then refused if half
            of its rows or more repeat others.
        valid: which tokens each prompt has, booleans, (prompts, tokens), where prompts
            differ in length and are padded. A token's probes are fitted to the prompts
            that have it, and tested and resampled on these; what stands elsewhere, NaN
            perhaps, is not looked at, in targets either. A masked array of hidden
            states says the same. None: each prompt has all tokens.
        sample_weight: how much each prompt counts, (prompts,), in fits, penalties that
            are chosen, scores and resamples: a prompt of weight 2 is as good as the
            same prompt twice in one group, and one of weight 0 as absent. Weights are
            not scaled, and penalties are held against their sum. A probe that takes no
            `sample_weight` in its `fit` is refused. None: all count alike.
        probe: None stands for ridge regression on standardised features, with the
            penalty that has the least squared error on training prompts that are left
            out one by one (with `groups`, group by group; some 2,000 of them if there
            are more), chosen for every coordinate. A scikit-learn `Ridge` with one
            alpha above 0, an intercept and coefficients of either sign, alone or after
            a `StandardScaler`, is fitted in the same fast way. A `PooledProbe` reads
            the cell's token and all before it, or that token alone. Any other regressor
            or pipeline is cloned for each cell and target, and given all training
            prompts and the features as they are; so is any classifier, but a
            `RidgeClassifier` with settings as those of `Ridge` is fitted in the fast
            way. So is a `LogisticRegression` with an intercept, a penalty on squares
            and no class weights, alone or after a `StandardScaler`: all targets of a
            cell at once, until its own `tol` or `max_iter` stops it.
        alphas: penalties that the default probe chooses from, not scaled by the number
            of prompts.
        contexts: for each token the index on the second axis of a target, (tokens,);
            for interleaved sequences the number of complete pairs seen. That axis
            must have max(contexts) + 1 entries; if the number of tokens is the same
            number, it is still read as contexts.
        tokens: names of the tokens, for the labels of the result.
        at: the tokens that are probed, by name (or position, if they have no names);
            None stands for all tokens. They keep their order.
        ceilings: the highest possible R2 of each target, by name: a number, (tokens,)
            or (contexts,). For the weights of a noise-free linear regression in d
            dimensions with prior N(0, I) it is min(t / d, 1) after t pairs.
        control: whether a second probe is fitted, to targets permuted across prompts.
        test_fraction: share of the groups that is held out.
        validation_fraction: share of the other groups on which the default probe
            chooses its penalty instead, before it is fitted to all of them, and on
            which a `PooledProbe` decides when to stop (its own `validation_fraction` is
            not used). None: a fifth for a `PooledProbe`, and where prompts come in a
            stream and so cannot be looked at again.
        resamples: number of bootstrap resamples of the test groups.
        seed: decides the splits, the permutation and the resampling. The randomness of
            a probe is decided by its `random_state`.
        batch: number of prompts that are looked at together; an iterator decides the
            size of its batches itself.
        coefficients: whether the probes themselves are returned, where they are ridge
            or logistic regressions that are fitted in the fast way.
        keep_resamples: whether R2 in every resample is returned, as `probes.onset`
            needs it.
        progress: whether a bar on standard error shows how far the call is. None: in
            calls of more than a few seconds, at a terminal or in a notebook.

    Returns:
        A Dataset over (layer, token, target) with

        - `r2`: held-out R2; NaN where the target does not vary over the test prompts;
        - `mse`: mean squared error per coordinate, in the target's units;
        - `cosine`: mean cosine between guess and truth;
        - `control_r2`: the same probe on targets permuted across prompts, each group
          getting those of one other group;
        - `r2_low`, `r2_high`, and likewise for the other three: a 95 % interval, by
          bootstrap over the test groups. It is for this probe of this network, one
          cell at a time: it leaves out that other training prompts would fit another
          probe, that another seed would train another network, and that the best of
          many cells is the best by chance too. The same resamples are used everywhere.
          NaN if there is a single test group;
        - `r2_per_coordinate`: with one more axis, `coordinate`, padded with NaN;
        - `ceiling`: over (token, target), NaN where none was given;
        - `alpha`: of a ridge probe, the penalty of each coordinate;
        - `position_weights`: of a pooled probe, with one more axis, `position`, and
          `n_iter`, the epochs that it was trained for, and `validation_error`, the
          mean squared error per coordinate on validation prompts, in units of the
          target's variance over training prompts. Choose the best layer by it: chosen
          by `r2`, on the tested prompts, the best looks better than it is;
        - `coef`, `intercept`: if asked for, with axes (coordinate, feature) and
          (coordinate,): the probe reads coef @ hidden + intercept;
        - `r2_resampled`: if asked for, with one more axis, `resample`.

        For a classifier the scores are, instead of R2, MSE and cosine, with intervals:

        - `accuracy`, `balanced_accuracy`, `auroc` and, if it has probabilities,
          `log_loss` in bits: see `probes.grid.labels`;
        - `control_accuracy` and `control_balanced_accuracy`: the same probe on labels
          permuted across prompts;
        - `majority` and `prior_log_loss`: the accuracy and the log-loss of guessing by
          the labels' shares of the training prompts alone;
        - `accuracy_resampled` and so on, if asked for.

        The labels are in `attrs`, in the order of the coordinates of `coef`. The split
        keeps the shares of the first target's labels, if these are one for each prompt.

        Coordinates: `layer` (0 is the embedding), `token`, `target`, and `context`
        beside `token` if it was given; `split` is a hash of the tested prompts and
        their resamples. Numbers of prompts and settings are in `attrs`.
        Grids of several seeds are joined by `xarray.concat(grids, dim="seed")`.

    Raises:
        ValueError: shapes that do not agree, axes in another order, NaN or infinity,
            fewer than two groups, targets that repeat while no groups are given,
            weights below 0 or for a probe that takes none, a probe that is neither a
            regressor nor a classifier, labels for a regressor or numbers for a
            classifier, a target with one label only among the training prompts, a
            source that ends early or changes shape.

    Warns:
        UserWarning: targets that do not vary, by name; fewer training prompts than
            features, so that a ridge probe relies on its penalty.
        ConvergenceWarning: how many probes did not converge, or were stopped by
            `max_iter`; whatever else a probe warns of is said once, not for each cell.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> hidden = rng.normal(size=(2, 200, 3, 8))
        >>> grid = probe_grid(hidden, {"w": hidden[1, :, 2, :4]})
        >>> np.argwhere(grid.r2.sel(target="w").values > 0.9).tolist()
        [[1, 2]]
    """
    control, coefficients = (
        checks.flag(name, value)
        for name, value in (("control", control), ("coefficients", coefficients))
    )
    keep_resamples = checks.flag("keep_resamples", keep_resamples)
    progress = None if progress is None else checks.flag("progress", progress)
    engine = engine_for(probe, alphas, coefficients)
    hidden, valid, once = states_of(hidden, valid)
    numbers_or_labels = given_labels if engine.classifies else real
    targets = {
        name: numbers_or_labels(f"target {name!r}", values)
        for name, values in checks.named("targets", targets).items()
    }
    prompts = checks.prompt_count(hidden, targets)
    seed, batch = checks.seed(seed), checks.positive_int("batch", batch)
    weights = SampleWeights.of(sample_weight, prompts)
    targets = {name: weights.filled(values) for name, values in targets.items()}
    labels = group_labels(groups, prompts, test_fraction, weights.rows)
    if validation_fraction is not None:
        checks.share("validation_fraction", validation_fraction)
    share = engine.validation_share(validation_fraction, once=once)
    parts = split(
        labels,
        test_fraction=test_fraction,
        validation_fraction=share,
        resamples=checks.positive_int("resamples", resamples, MOST),
        seed=seed,
        in_order=comes_in_order(hidden),
        strata=strata_of(targets, prompts, classifies=engine.classifies),
        among=weights.rows,
    )
    if engine.chooses:
        refuse_too_few(parts, labels)
    source = open_source(hidden, prompts, parts.fit[:batch])
    axis = TokenAxis.of(source.shape[1], names=tokens, at=at, contexts=contexts)
    limits = axis.ceilings(ceilings, list(targets))
    have = checks.valid_tokens(valid, (prompts, source.shape[1]))
    read, classes = read_targets(
        axis, targets, have, prompts, classifies=engine.classifies
    )
    if not engine.classifies:
        for name, target in read.items():
            checks.squarable(f"target {name!r}", target.values)
    if have is not None:
        have, names = have[:, axis.places], axis.coords()["token"]
        checks.enough_prompts(have, names, parts.train, parts.test, labels)
    if groups is None and not engine.classifies:
        repeated_rows(
            {name: weights.counted(target.values) for name, target in read.items()}
        )
    donor = weights.donors(labels, seed) if control else None
    columns = Columns(read, axis.places, donor, have, weights.values)

    make = LabelBoard if engine.classifies else Scoreboard
    board = make(source.shape[0], columns, parts)
    left_out = None
    if engine.chooses and not share:
        left_out = LeftOut.of(parts.train, labels[parts.train], seed)
    with Progress(progress) as bar:
        problem = Problem(source, columns, parts, batch, bar, left_out)
        found = engine.run(problem, board)
    found |= board.variables(keep_resamples)
    found["ceiling"] = ("token", "target"), limits
    settings = {"test_fraction": test_fraction, "seed": seed}
    grid = xr.Dataset(
        found,
        coords=_coords(axis, columns, source.shape[0], found) | {"split": parts.digest},
        attrs=_attrs(parts, labels, engine) | settings | classes,
    )
    if not engine.classifies:
        _warn_of_constants(grid.r2)
    return grid


def _coords(
    axis: TokenAxis, columns: Columns, layers: int, found: Variables
) -> dict[str, Any]:
    """Returns the labels of the axes of a grid."""
    coords = {
        "layer": range(layers),
        **axis.coords(),
        "target": list(columns.targets),
    }
    # The positions that a pooled probe weighs are all tokens, not only those probed.
    return coords | ({"position": axis.names} if "position_weights" in found else {})


def _attrs(parts: Split, labels: np.ndarray, engine: Engine) -> dict[str, Any]:
    """Returns numbers of prompts, and how the grid was made."""
    used = labels[np.concatenate([parts.train, parts.test])]
    return {
        "n_train": len(parts.train),
        "n_validation": len(parts.validation),
        "n_test": len(parts.test),
        "n_groups": len(np.unique(used)),
        "resamples": len(parts.weights),
        "confidence": scores.CONFIDENCE,
        "probe": engine.describe(),
    }


def _warn_of_constants(r2: xr.DataArray) -> None:
    """Names every target, with its tokens, that had nothing to be explained."""
    where = []
    for name in r2.target.values:
        constant = r2.sel(target=name).isnull().any("layer")
        if constant.any():
            tokens = ", ".join(map(str, r2.token.values[constant]))
            where.append(f"{name} at {tokens}")
    if where:
        cautions.warn(
            "Targets that do not vary over the test prompts, R2 is NaN: "
            f"{'; '.join(where)}."
        )
