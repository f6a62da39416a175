"""What one trained model shows: the main figures of the paper, in minutes.

Run: python -m experiments.akyurek2023.one_model quick

This trains one model at d = 8 and one at d = 4, which is steered, and draws all figures
that need no other: the distances to textbook learners (Figure 1), how linear the model
is (Figure 6), the weights in its hidden states, the predictions of every layer, the
steering of its states, and what needs no model (Figure 7 and the construction). Each
figure looks at one seed, so that intervals are over prompts alone; with several seeds,
`python -m experiments.akyurek2023 quick` draws them all, and uses the models that are
there. The page is results/akyurek2023/report-one_model-<preset>.html.
"""

import sys

from experiments.akyurek2023.__main__ import AKYUREK

TIMES = {
    "tiny": "1 min",
    "quick": "15 min; seconds, once done",
    "shipped": "8 min, without any training",
    "paper": "6 hours of training on one H100, an estimate",
}
NAMES = (
    *("fig7", "fig1", "fig6", "decoded_weights", "lens", "steering", "construction"),
)
ONE_MODEL = AKYUREK.part(__spec__, NAMES, seeds=1)

if __name__ == "__main__":
    sys.exit(ONE_MODEL.main())
