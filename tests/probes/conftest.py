"""Random numbers and hidden states that the tests of probes share."""

import numpy as np
import pytest
from grid_cases import FEATURES, LAYERS, PROMPTS, TOKENS


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def hidden(rng):
    scales = 10.0 ** rng.uniform(-2, 2, FEATURES)
    return rng.normal(size=(LAYERS, PROMPTS, TOKENS, FEATURES)) * scales
