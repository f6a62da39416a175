import warnings

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVR

from probes import PooledProbe, probe_grid

GOOD = np.random.default_rng(1).normal(size=(2, 8, 3, 2))
TARGET = GOOD[0, :, 0]
HOLE = np.where(np.arange(GOOD.size).reshape(GOOD.shape) == 20, np.nan, GOOD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": GOOD[0]}, r"hidden must have axes .* got shape \(8, 3, 2\)"),
        ({"hidden": GOOD[:, :0]}, "none of them empty"),
        ({"hidden": HOLE}, "NaN or infinity in layer 0, prompt 3, token 1"),
        (
            {"hidden": HOLE, "probe": LinearRegression()},
            r"hidden\[0\] must be finite, but 1 of its 48 .*\(3, 1, 0\)",
        ),
        (
            {"hidden": np.moveaxis(GOOD, 1, 0)},
            r"of its shape \(8, 2, 3, 2\) axis 0 .* np.moveaxis\(hidden, 0, 1\)",
        ),
        ({"targets": {"w": np.repeat(TARGET[:4], 2, 0)}}, "only 4 different rows"),
        ({"at": [3]}, r"at must be a list .* tokens among \[0, 1, 2\], got \[3\]"),
        ({"at": []}, "at must be a list of different tokens"),
        ({"at": "y1"}, "at must be a list of different tokens .* got 'y1'"),
        ({"hidden": [GOOD[:, :4], GOOD[:, 4:]]}, r"give an iterator, iter\(batches\)"),
        ({"groups": np.array([0, 1, np.nan] + 5 * [3])}, "groups must be finite"),
        ({"groups": np.arange(8) // 4}, "3 groups of prompts are needed"),
        ({"probe": Ridge(), "alphas": [1.0]}, "alphas are for the default probe"),
        ({"alphas": [1.0, 0.0]}, r"alphas must be numbers above 0, got \[1.0, 0.0\]"),
        ({"alphas": []}, "alphas must be numbers above 0"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie between 0 and 1"),
        ({"resamples": 0}, "resamples must be an integer >= 1, got 0"),
        ({"batch": 0}, "batch must be an integer >= 1, got 0"),
        ({"hidden": GOOD * 1j}, "hidden must hold real numbers, got .* complex128"),
        ({"hidden": lambda rows: GOOD[:, rows].astype(object)}, "got an .* object"),
        ({"targets": {"w": TARGET * 1j}}, "target 'w' must hold real numbers"),
        ({"at": [1, 1]}, "at must be a list of different tokens"),
        ({"probe": PooledProbe(head="MLP")}, "'head' parameter of PooledProbe"),
        ({"probe": PooledProbe(learning_rate=-1.0)}, "'learning_rate' parameter"),
        ({"targets": {}}, r"targets must be a dictionary of at least 1, .* got \{\}"),
        ({"targets": {"w": TARGET[:7]}}, r"'w' must have shape \(prompts=8, q\)"),
        ({"targets": {"w": TARGET[:, 0]}}, r"got \(8,\); .* values\[:, None\]"),
        ({"targets": {"w": TARGET[:, :0]}}, r"got \(8, 0\)"),
        ({"targets": {"w": TARGET * np.inf}}, "target 'w' must be finite"),
        (
            {"targets": {"w": np.ones((8, 5, 1))}},
            r"tokens=3, q\).*\(8, 5, 1\).*`contexts`",
        ),
        (
            {"targets": {"w": np.ones((8, 5, 1))}, "contexts": [0, 1, 1]},
            r"contexts=2, q\) or \(prompts=8, tokens=3, q\).*max\(contexts\) \+ 1",
        ),
        ({"contexts": [0, 1]}, "contexts must be 3 integers >= 0"),
        ({"contexts": [0, 1, -1]}, "contexts must be 3 integers >= 0"),
        ({"contexts": [0.0, 1.0, 2.0]}, "contexts must be 3 integers >= 0"),
        ({"tokens": ["x", "y"]}, "tokens must be 3 different names"),
        ({"tokens": ["x", "y", "x"]}, "of which 2 differ"),
        ({"groups": np.arange(7)}, "one label for each of the 8 prompts"),
        ({"groups": np.zeros(8)}, "at least 2 groups"),
        ({"ceilings": {"v": 1.0}}, r"ceiling 'v' has no target; targets are \['w'\]"),
        ({"ceilings": {"w": np.ones(4)}}, r"\(tokens=3,\), got shape \(4,\)"),
        ({"ceilings": {"w": 1.5}}, "cannot exceed 1, got 1.5"),
        ({"test_fraction": 0.0}, "test_fraction must lie between 0 and 1"),
        ({"test_fraction": 0.95}, "leave a group to train on, got 0.95 with 8 groups"),
        ({"seed": -1}, "seed must be an integer in"),
        ({"probe": KMeans()}, "probe must be a scikit-learn regressor"),
        ({"probe": SVR()}, r"SVR cannot be fitted .*MultiOutputRegressor\.$"),
    ],
)
def test_bad_input_gets_one_clear_line(changes, message):
    arguments = {"hidden": GOOD, "targets": {"w": TARGET}} | changes
    with pytest.raises(ValueError, match=message) as error:
        probe_grid(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"at": 0}, "at must be a list of different tokens .* got 0"),
        ({"ceilings": 1.0}, r"ceilings must be a dictionary .* got 1\.0"),
    ],
)
def test_other_types_get_one_too(untyped, changes, message):
    with pytest.raises(ValueError, match=message):
        probe_grid(GOOD, {"w": TARGET}, **changes)


def test_bad_parameters_of_a_probe_are_not_taken_for_a_probe_of_one_number():
    probe = MLPRegressor((64,))  # the first parameter is the loss
    with pytest.raises(ValueError, match="MLPRegressor cannot be fitted") as error:
        probe_grid(GOOD, {"w": TARGET}, probe=probe)
    assert "'loss' parameter" in str(error.value)
    assert "MultiOutputRegressor" not in str(error.value)


@pytest.mark.parametrize(("share", "said"), [(0.25, 150), (0.07, 42), (0.03, None)])
def test_copies_of_prompts_are_said_with_their_number(share, said):
    rng, prompts = np.random.default_rng(0), 600
    different = round(prompts * (1 - share))
    which = np.r_[np.arange(different), rng.integers(0, different, prompts - different)]
    hidden = rng.normal(size=(1, different, 1, 3))[:, which]
    targets = {"y": rng.normal(size=(different, 1))[which]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        probe_grid(hidden, targets, resamples=10)
        probe_grid(hidden, targets, groups=which, resamples=10)
    texts = [str(warning.message) for warning in caught]
    if said is None:
        assert not texts
    else:
        assert len(texts) == 1 and texts[0].startswith(
            f"{said} of the 600 rows of target 'y' repeat another"
        )


@pytest.mark.parametrize("flag", ["control", "coefficients", "keep_resamples"])
@pytest.mark.parametrize("value", ["no", "False", 1, None])
def test_flags_are_true_or_false(untyped, flag, value):
    with pytest.raises(
        ValueError, match=f"{flag} must be True or False, got {value!r}"
    ):
        probe_grid(GOOD, {"w": TARGET}, **{flag: value})


@pytest.mark.parametrize("names", [[("a", "b")], [3, "3"], [None, "w"]])
def test_names_are_all_text_or_all_numbers(untyped, names):
    """xarray would take a tuple for more axes, and the number 3 for the text "3"."""
    with pytest.raises(ValueError, match="names of targets must all be text, or all"):
        probe_grid(GOOD, dict.fromkeys(names, TARGET))
    tokens = [*names, 1, "x"][: GOOD.shape[2]]
    with pytest.raises(ValueError, match="tokens must all be text, or all numbers"):
        probe_grid(GOOD, {"w": TARGET}, tokens=tokens)
