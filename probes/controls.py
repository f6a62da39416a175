"""Controls: is a score more than what a probe of this capacity reaches on anything?

A probe that is strong enough finds something in any features. What it finds in a
representation is its score minus that of a control at equal capacity, with the same
probe, prompts and split. Different controls answer different doubts:

- Permuted targets (`donors`; `probe_grid` reports them as `control_r2`). The targets of
  other prompts have nothing to do with the features: a score above 0 shows that test
  prompts leak into training. It says nothing about capacity.
- A random function of the inputs (`random_function`), the control task of Hewitt &
  Liang 2019 ("Designing and interpreting probes with control tasks"). Nothing in the
  model was trained to represent it: a probe that reads it well has worked it out from
  the inputs that the states carry, and could as well have worked out the target.
- Random labels (`random_labels`) are the same for a classifier.
- Other hidden states: those of an untrained network, of the tokens themselves (layer
  0), or of a network that was trained where the target was not needed, such as with one
  weight vector for every prompt. Run `probe_grid` on those too. They show what inputs
  and architecture give without what was learned.

Report both scores beside the difference (`selectivity`): 0.9 - 0.6 and 0.3 - 0.0 are
different findings. A control of *another* target bounds the probe, not the target:
selectivity near 0 says that the probe is too strong to tell, not that nothing is there.
"""

from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int, Shaped
from numpy.typing import ArrayLike
from scipy.special import stdtrit
from sklearn.kernel_approximation import RBFSampler
from sklearn.preprocessing import StandardScaler

from probes import checks, scores
from probes.arrays import real
from probes.groups import target_labels
from probes.label_checks import given_labels

WAVES = 1_000
MOST = 1_000_000  # functions: more would not fit into memory


def donors(groups: ArrayLike, seed: int) -> Int[np.ndarray, " prompts"]:
    """Returns for each prompt a prompt of another group, whose targets are its control.

    Whole groups are passed on in a random cycle, so that no group keeps its own and no
    two get the same; a larger group repeats the prompts of a smaller one.

    Args:
        groups: a label for each prompt, (prompts,); `np.arange(prompts)` where each is
            its own group.
        seed: decides the cycle.

    Raises:
        ValueError: fewer than two groups, a bad seed.

    Example:
        >>> groups = np.array(["a", "a", "b"])
        >>> groups[donors(groups, seed=0)].tolist()
        ['b', 'b', 'a']
    """
    groups = given_labels("groups", groups)
    labels, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if groups.ndim != 1 or len(labels) < 2:
        raise ValueError(
            "groups must hold one label for each prompt, at least 2 different ones, "
            f"got shape {groups.shape} and {len(labels)} of them."
        )
    cycle = np.random.default_rng([checks.seed(seed), 1]).permutation(len(labels))
    donor = np.empty_like(cycle)
    donor[cycle] = np.roll(cycle, 1)
    by_group = np.argsort(member, kind="stable")
    starts = np.cumsum(sizes) - sizes
    rank = np.empty_like(by_group)
    rank[by_group] = np.arange(len(groups)) - np.repeat(starts, sizes)
    giver = donor[member]
    return by_group[starts[giver] + rank % sizes[giver]]


def random_function(
    inputs: ArrayLike, outputs: int = 20, *, length_scale: float = 0.35, seed: int
) -> Float[np.ndarray, "prompts outputs"]:
    """Returns a control task: random smooth functions of the inputs.

    Each output is (nearly) a draw of a Gaussian process with mean 0, variance 1 and
    kernel exp(-|x - x'|^2 / 2 l^2) over standardised inputs: a sum of cosines of random
    projections (Rahimi & Recht 2007, "Random features for large-scale kernel
    machines"). Equal inputs have equal values, and the same seed and inputs the same
    values for every layer, probe and network.

    `length_scale` is l as a share of the root mean square distance between two prompts.
    For many independent inputs, degree k of the function has the Poisson(1 / 2
    length_scale^2) share of its variance: at the default 2 % are constant and 7 %
    linear in the inputs (at 0.63 a linear probe reaches an R2 of 1/2), and a linear
    probe that scores more reads what a layer computed. With few inputs, such as a
    weight vector of 4 coordinates, or inputs that recur, a probe can memorise the
    function from its training prompts and be right on others. With many, values of
    different prompts are nearly independent and no probe is: then give fewer inputs, or
    a greater length.

    Args:
        inputs: what the values depend on: the prompts, their last tokens, or the target
            itself (can the probe read *any* function of it?); (prompts, ...).
        outputs: number of functions. Each is read with a score of its own, and they
            differ more than a score's interval over prompts is wide: with fewer than
            20, `selectivity` hangs on which were drawn.
        length_scale: the smaller, the rougher are the functions; see above.
        seed: decides the functions.

    Raises:
        ValueError: NaN or infinity, inputs that are the same for all prompts, no
            outputs, a length scale that is not positive.

    Example:
        >>> weights = np.random.default_rng(0).normal(size=(500, 4))
        >>> random_function(weights, 2, seed=0).shape
        (500, 2)
    """
    array = checks.floats("inputs", inputs)
    outputs = checks.positive_int("outputs", outputs, MOST)
    length_scale = checks.number("length_scale", length_scale)
    checks.squarable("inputs", array)
    flat = (
        array.reshape(len(array), -1) if array.ndim and array.size else np.ones((1, 1))
    )
    flat = flat[:, flat.std(axis=0) > 1e-12 * abs(flat).max(axis=0)]
    if not flat.size:
        raise ValueError(
            "inputs must have axes (prompts, ...) and differ between prompts, got "
            f"shape {array.shape} and no entry that varies."
        )
    square = length_scale * length_scale
    if length_scale <= 0 or not 0 < square < np.inf:
        raise ValueError(f"length_scale must be positive, got {length_scale!r}.")
    # Two prompts lie 2 * number of inputs apart, in mean square.
    gamma = 1 / (2 * square * 2 * flat.shape[1])
    # A stream of its own: a generator of this seed may have made the inputs.
    rng = np.random.default_rng([checks.seed(seed), 2])
    state = int(rng.integers(2**32))
    sampler = RBFSampler(gamma=gamma, n_components=WAVES, random_state=state)
    scaler: Any = StandardScaler().set_output(transform="default")
    sampler.set_output(transform="default")
    waves = sampler.fit_transform(scaler.fit_transform(flat))
    return waves @ rng.normal(size=(WAVES, outputs))


def random_labels(
    inputs: ArrayLike, labels: ArrayLike, *, seed: int
) -> Shaped[np.ndarray, " prompts"]:
    """Returns a control task for labels: one drawn at random for each kind of input.

    This is the control task of Hewitt & Liang 2019: every prompt with the same input,
    such as the same word, has the same label, which says nothing of the input. A probe
    that reads it has learnt the inputs by heart. Labels are drawn with the shares that
    they have among `labels`.

    Args:
        inputs: what decides the label, such as the token's identity, (prompts, ...).
            Where no input occurs twice, nobody can be right on a prompt that was not
            seen.
        labels: those of the task, (prompts,).
        seed: decides the labels.

    Raises:
        ValueError: numbers that are no labels, or not one for each prompt.

    Example:
        >>> words = np.array(["the", "cat", "the", "dog", "cat"])
        >>> drawn = random_labels(words, ["other", "noun", "other", "noun", "noun"],
        ...                       seed=0)
        >>> bool(drawn[0] == drawn[2] and drawn[1] == drawn[4])
        True
    """
    array = given_labels("inputs", inputs)
    if array.dtype.kind not in "biufUS" or not array.size:
        raise ValueError(
            f"inputs must hold numbers or text for each prompt, got {array.dtype} of "
            f"shape {array.shape}."
        )
    named = given_labels("labels", labels)
    if array.ndim == 0 or array.shape[:1] != named.shape[:1]:
        raise ValueError(
            "inputs and labels must have a row for each prompt, got shapes "
            f"{array.shape} and {named.shape}."
        )
    checked = target_labels("labels", named, len(named), {})
    rows = array.reshape(len(array), -1)
    kinds, member = np.unique(rows, axis=0, return_inverse=True)
    rng = np.random.default_rng([checks.seed(seed), 3])
    return rng.choice(checked, size=len(kinds))[member.ravel()]


def selectivity(
    task: Any, control: Any, *, score: str = "r2", functions: bool = False
) -> xr.Dataset:
    """Returns the scores of a task and of its control, and their difference.

    Args:
        task: a DataArray of scores; an array; or a Dataset of `probe_grid`, whose
            variable `score` is taken. Where that is a Dataset on both sides and each
            holds `score + "_resampled"` with an axis `resample`, of the same split and
            seed, the difference gets an interval: both sides are resampled together.
        control: the scores of the control, with the same axes and labels.
        score: name of the variable, where Datasets are given.
        functions: whether the coordinates of the control are functions that were drawn
            (`random_function`). The interval is then for other functions of the kind.

    Returns:
        `task`, `control`, `selectivity` = task - control and, where there are
        resamples, its 95 % interval `selectivity_low`, `selectivity_high`. It is over
        test prompts, and over functions if the control has some, with these probes of
        this network: another training of either is left out.

    Raises:
        ValueError: axes or labels that differ (nothing is matched, dropped or broadcast
            silently), a Dataset without `score`, intervals of different splits.

    Example:
        >>> both = selectivity(np.array([0.9, 0.4]), np.array([0.5, 0.5]))
        >>> both.selectivity.values.round(12).tolist()
        [0.4, -0.1]
    """
    checks.of_kind("score", score, str, "the name of a variable")
    functions = checks.flag("functions", functions)
    sides = {"task": task, "control": control}
    found = {name: _scores(name, side, score) for name, side in sides.items()}
    _check_labels(found["task"], found["control"])
    # Labels beside the axes, such as the name of one target, may differ.
    found["control"] = found["control"].reset_coords(drop=True)
    result = xr.Dataset(found)
    result["selectivity"] = result.task - result.control
    resamples = f"{score}_resampled"
    datasets = isinstance(task, xr.Dataset) and isinstance(control, xr.Dataset)
    if not (datasets and resamples in task and resamples in control):
        return result
    pair = [np.asarray(side.coords.get("split")).tolist() for side in (task, control)]
    if pair[0] != pair[1]:
        raise ValueError(
            f"task and control have split {pair[0]} and {pair[1]}: resamples are "
            "paired only where the tested prompts, their groups and the seed are the "
            "same; run both alike."
        )
    _check_labels(task[resamples], control[resamples])
    draws = task[resamples] - control[resamples]
    draws = draws.transpose(*result.selectivity.dims, "resample")
    low, high = scores.interval(draws.values)
    if functions:
        low, high = _with_functions(result.selectivity, (low, high), control, score)
    dims = result.selectivity.dims
    return result.assign(selectivity_low=(dims, low), selectivity_high=(dims, high))


def _with_functions(
    difference: xr.DataArray,
    ends: tuple[np.ndarray, np.ndarray],
    control: xr.Dataset,
    score: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the interval over prompts and over the control's functions, (low, high).

    Prompts give the ends. The functions add the variance of a mean of so many of them,
    with the quantile of Student's t, and the squares of the half-widths add up.
    """
    each = control.get(f"{score}_per_coordinate")
    fewest = 0 if each is None else int(each.notnull().sum("coordinate").min())
    if each is None or fewest < 2:
        raise ValueError(
            f"control must hold {score}_per_coordinate of 2 functions or more, got "
            f"{fewest}; probe random_function(inputs, outputs=20, seed=...), with "
            'score="r2".'
        )
    each = each.transpose(*difference.dims, "coordinate")
    count = each.notnull().sum("coordinate").values
    quantile = stdtrit(count - 1.0, 1 - (1 - scores.CONFIDENCE) / 2)
    squares = quantile**2 * each.var("coordinate", ddof=1).values / count
    (low, high), value = ends, difference.values
    return (
        value - np.sqrt((value - low) ** 2 + squares),
        value + np.sqrt((high - value) ** 2 + squares),
    )


def _scores(name: str, side: Any, score: str) -> xr.DataArray:
    """Returns the scores of one side, whatever holds them."""
    if isinstance(side, xr.DataArray):
        return side.copy(data=real(name, side.values).astype(float))
    if not isinstance(side, xr.Dataset):
        return xr.DataArray(real(name, side).astype(float))
    if score not in side:
        raise ValueError(
            f"{name} has no {score!r}; it has {sorted(map(str, side.data_vars))}."
        )
    return side[score]


def _check_labels(task: xr.DataArray, control: xr.DataArray) -> None:
    """Refuses scores of different grids, and says where they differ."""
    if task.dims != control.dims:
        raise ValueError(
            f"task and control must have the same axes, got {task.dims} and "
            f"{control.dims}."
        )
    shared = [name for name in task.coords if name in control.coords]
    along = [name for name in shared if task[name].ndim == 1 == control[name].ndim]
    for name in dict.fromkeys([*task.dims, *along]):
        ours, theirs = (side[name].to_index() for side in (task, control))
        if not ours.equals(theirs):
            only = [list(a.difference(b)) for a, b in ((ours, theirs), (theirs, ours))]
            raise ValueError(
                f"task and control must have the same labels along {name!r}, in the "
                f"same order; only task has {only[0]}, only control {only[1]}."
            )
