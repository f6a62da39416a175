"""Random labels as a control task, and how many bits features save of labels."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.svm import LinearSVC

from probes import label_codelength, probe_grid, random_labels, selectivity

WORDS = 12


def test_random_labels_belong_to_the_input_and_to_nothing_else(rng):
    words = rng.integers(WORDS, size=2_000)
    labels = np.where(words < 3, "noun", "verb")
    drawn = random_labels(words, labels, seed=0)
    for word in range(WORDS):
        assert len(np.unique(drawn[words == word])) == 1
    same = random_labels(words[:, None], labels.tolist(), seed=0)
    np.testing.assert_array_equal(drawn, same)
    many = random_labels(np.arange(20_000), labels.repeat(10), seed=1)
    # Shares of 20,000 draws are off by 1 % at most (three standard errors).
    assert abs((many == "noun").mean() - (labels == "noun").mean()) < 0.01


def test_a_probe_that_learns_words_by_heart_is_not_selective(rng):
    """States are one-hot words: any labels of words can be read, the task's too."""
    words = rng.integers(WORDS, size=1_200)
    hidden = np.eye(WORDS)[words][None, :, None]
    task = words % 2 == 0
    control = random_labels(words, task, seed=3)
    grid = probe_grid(
        hidden,
        {"task": task, "random": control},
        probe=RidgeClassifier(),
        keep_resamples=True,
    )
    both = selectivity(
        grid.sel(target="task"), grid.sel(target="random"), score="accuracy"
    )
    np.testing.assert_allclose(both.task, 1)
    np.testing.assert_allclose(both.selectivity, 0)
    assert {"selectivity_low", "selectivity_high"} <= set(both.data_vars)


def test_labels_that_features_determine_cost_next_to_nothing(rng):
    states = rng.normal(size=(4_000, 3))
    labels = np.array(["low", "high"])[(states[:, 0] > 0).astype(int)]
    code = label_codelength(states, labels)
    # Half of the labels are of either kind: one bit each, without features.
    assert code.intercept_bits == pytest.approx(4_000, rel=0.01)
    assert 0.85 < code.saved_per_prompt < 1  # logistic regression is penalised
    assert code.low < code.saved_per_prompt < code.high


def test_features_that_say_nothing_save_nothing(rng):
    labels = rng.choice(["a", "b", "c"], p=[0.7, 0.2, 0.1], size=1_000)
    code = label_codelength(rng.normal(size=(1_000, 2)), labels)
    entropy = -(0.7 * np.log2(0.7) + 0.2 * np.log2(0.2) + 0.1 * np.log2(0.1))
    # The first 16 labels cost log2(3) each, and shares are learnt on the way.
    assert code.intercept_bits / 1_000 == pytest.approx(entropy, rel=0.1)
    assert -0.05 < code.saved_per_prompt < 0.02


def test_a_probe_without_features_is_the_other_code(rng):
    """The shares of the labels, whichever code asks for them."""
    labels = rng.choice([0, 1], p=[0.8, 0.2], size=200)
    code = label_codelength(rng.normal(size=(200, 2)), labels, probe=DummyClassifier())
    np.testing.assert_allclose(code.bits, code.intercept_bits, rtol=1e-12)
    assert code.saved_per_prompt == pytest.approx(0, abs=1e-12)


def test_the_code_is_that_of_a_receiver_who_learns_on_the_way(rng):
    """Written out for one order of 24 prompts, in blocks that end at 8, 16 and 24."""
    states, labels = rng.normal(size=(24, 1)), np.arange(24) % 3 % 2
    code = label_codelength(states, labels, first=8, orders=1, seed=2)
    place = np.random.default_rng([2, 5]).permutation(24)
    bits = 8.0
    for start, end in ((8, 16), (16, 24)):
        known, block = place < start, (place >= start) & (place < end)
        scale = states[known].std()
        fitted = LogisticRegression().fit(states[known] / scale, labels[known])
        chances = fitted.predict_proba(states[block] / scale)
        of_label = chances[np.arange(8), labels[block]]
        bits -= np.log2((start * of_label + 1) / (start + 2)).sum()
    # The solver's own tolerance; centring changes nothing but the intercept.
    assert code.bits == pytest.approx(bits, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": np.zeros(40)}, "must hold labels"),
        ({"labels": np.zeros(39, int)}, "one label for each prompt"),
        ({"probe": LinearSVC()}, "classifier with probabilities"),
        ({"first": 40}, "leave some of the 40 groups to code"),
        ({"growth": 1.0}, "growth must be finite and above 1"),
        ({"orders": 0}, "orders must be an integer >= 1"),
        ({"features": np.full((40, 2), np.nan)}, "features must be finite"),
        ({"features": np.zeros(40)}, "shape \\(prompts, q\\)"),
    ],
)
def test_bad_codes_of_labels(rng, change, said):
    good = {"features": rng.normal(size=(40, 2)), "labels": np.arange(40) % 2}
    with pytest.raises(ValueError, match=said):
        label_codelength(**good | change)
