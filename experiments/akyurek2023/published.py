"""What the paper states, claim by claim, and why a measurement of ours may differ.

The 33 claims of Akyürek et al. 2023 (arXiv 2211.15661 v3). Most are theirs, many of
them without a number; those that only follow from theirs say so. Nothing here depends
on a run: verdicts, numbers and the settings in which a run departs from the published
ones are joined with it by `experiments.engine.claims.checklist`.
"""

from experiments.engine.claims.checklist import Statement, Topic

PAPER = "akyurek2023"

BEHAVIOUR = Topic(
    "Behaviour without noise",
    "d = 8, w ~ N(0, I), prompts of 40 pairs; 16 layers x 512, 4 heads, 500,000 steps "
    "of 64 prompts; compared after n = 1..14 examples. One model is shown; neither "
    "seeds nor the number of evaluation prompts are reported (the released code takes "
    "64).",
)
NOISE = Topic(
    "Noise",
    "d = 8, five levels of noise, sigma/tau = 0/1, 0.25/1, 0.5/1.5, 0.5/1, 0.5/0.75; "
    "MSPD, the squared prediction difference averaged over n < d, divided by d. That "
    "there is one model for each level, of the shape above, is implied, not stated.",
)
CAPACITY = Topic(
    "Depth and width",
    "No noise, d = 8 and 16 (for the smallest sizes also 1, 2, 4, 12 and 20); 1 to 16 "
    "layers, width 16 to 1,024, 1 to 8 heads, two learning rates, 500,000 steps each. "
    "Each point is the run with the lowest validation loss among all runs of that "
    "size; MSPD is averaged over n < d and divided by d. Seeds are not reported.",
)
PROBING = Topic(
    "Probing",
    "d = 4, no noise, prompts of 40 pairs, 16 layers; one probe for each target, "
    "layer and number of examples, linear or an MLP of 512 units, on a learned "
    "average of the tokens. The numbers of steps and prompts, the normalisation of "
    "the targets and what errors are averaged over are not stated; the released code "
    "has another probe.",
)
THEORY = Topic(
    "Construction",
    "Weights written by hand for a transformer as in Equations 1-7: causal softmax "
    "attention, GELU, LayerNorm in front of the MLP alone. The paper gives proofs "
    "without numbers; the code that it announces for them is not in the public "
    "repository.",
)

PUBLISHED = (
    Statement(
        1,
        BEHAVIOUR,
        "fig1",
        "For almost every n the transformer is within 0.01 of least squares (OLS) in "
        "SPD / d.",
        "The paper does not say how many n are almost all; we ask for 90 %. What "
        "separates a model from OLS lies mostly around n = d, where X is often nearly "
        "singular.",
    ),
    Statement(
        2,
        BEHAVIOUR,
        "fig1",
        "For almost every n it is within 0.01 of OLS in ILWD / d, the distance "
        "between the weights that are fitted to the predictions of both.",
        "The paper does not state how many inputs it fits weights to. Its code fits "
        "them to 64 inputs, with an intercept, for one prompt, and compares weights "
        "after n examples with those of OLS after n + 1. We fit them without an "
        "intercept, average over prompts, and subtract what a finite number of inputs "
        "adds.",
    ),
    Statement(
        3,
        BEHAVIOUR,
        "fig1",
        "All other learners agree less well: one-step GD (0.01, 0.02), one-pass SGD "
        "(0.01, 0.03), 3-NN. The paper shows curves and gives no number.",
        "The claim is judged by the worst n, with an interval for all n at once; "
        "anything near OLS fulfils it. The released code has other versions of three "
        "learners (n steps for GD, 5-NN, clipped gradients); ours are those of the "
        "paper's text.",
    ),
    Statement(
        4,
        BEHAVIOUR,
        "fig1",
        "Ridge(0.1) also agrees less well than OLS does. The paper gives no number.",
        "At d = 8, OLS and Ridge(0.1) themselves are only 0.006 apart on average over "
        "n < d: to be within 0.01 of OLS, which is the paper's evidence, does not "
        "tell which of them a model follows. They are 0.01 to 0.07 apart at n = 6..9, "
        "and 4b looks there.",
    ),
    Statement(
        5,
        BEHAVIOUR,
        "fig1",
        "k-NN agrees worst of all. The paper shows curves and gives no number.",
        "This follows from the learners alone for any model that is close to OLS: at "
        "d = 8, OLS is 0.65 to 0.74 from 3-NN and 0.21 to 0.36 from GD and SGD.",
    ),
    Statement(
        6,
        BEHAVIOUR,
        "fig1",
        "With n < d examples it follows the OLS solution of least norm. The paper "
        "gives no number.",
        "The thresholds are ours: a tenth of the distance to the truth, and the error "
        "of that solution, 1 - n/d, to 10 % at the worst n.",
    ),
    Statement(
        7,
        BEHAVIOUR,
        "fig1",
        "Not stated, but it follows from claim 1: with n >= d examples OLS knows w.",
        "The threshold is ours, and must hold at every n from 5d/4 on.",
    ),
    Statement(
        8,
        BEHAVIOUR,
        "fig1",
        "Not stated, but it follows from Equations 15-17: SPD and ILWD are the same "
        "number for two linear learners and standard normal inputs.",
        "This checks the two measures; it does not look at the model.",
    ),
    Statement(
        9,
        BEHAVIOUR,
        "fig6",
        "The R2 of a linear fit to its predictions rises gradually with n and is "
        "about 1 from n = d on: with few examples it is not a linear learner. The "
        "paper shows a curve and gives no number.",
        "The thresholds are ours. The released code computes another R2, that of the "
        "predictions against the labels.",
    ),
    Statement(
        10,
        NOISE,
        "fig2",
        "In each column of the table the ridge of the Bayes predictor, lambda = "
        "sigma^2 / tau^2, is the closest: 1.25e-5, 3.29e-5, 3.86e-5, 3.30e-5, 6.10e-5.",
        "Only the order can be compared: by the stated definition the published values "
        "are impossible. In the column without noise they put OLS and Ridge(4/9) at "
        "most 5.3e-3 apart (triangle inequality), and these are 2.4e-2 apart whatever "
        "the model does. With noise the OLS row has no finite expectation at "
        "n = d - 1, d and d + 1; ours are medians over prompts.",
    ),
    Statement(
        11,
        NOISE,
        "fig2",
        "The ridge that fits best grows with the noise: 0, 1/16, 1/9, 1/4, 4/9.",
        "The paper's grid has only these five; ours is finer, and we interpolate "
        "between its points. Neighbours such as 1/16 and 1/9 are close to each other, "
        "and only a model whose own error is smaller than their distance tells them "
        "apart.",
    ),
    Statement(
        12,
        NOISE,
        "fig2",
        "Not stated; read off the table: distances grow away from the diagonal, and in "
        "the noisy columns OLS is 4, 10, 46 and 68 times as far as the diagonal.",
        "The factors are relative to the model's own error, and are smaller for a "
        "model that was trained less, even where the order is the same. For the "
        "values see claim 10.",
    ),
    Statement(
        13,
        NOISE,
        "fig2",
        "As the noise goes to 0 the Bayes predictor becomes OLS, and the model "
        "behaves as in claims 1-6. The paper gives no number.",
        "The limit is a theorem about the predictors; it says no more about the model "
        "than the column without noise does.",
    ),
    Statement(
        14,
        CAPACITY,
        "fig3",
        "With one layer the nearest learner is a single gradient step, at d = 8 and "
        "16. The paper shows a coloured background and gives no number.",
        "The paper's steps have two fixed rates, while the best rate depends on n, 1 "
        "/ (2 (n + d + 1)): a model that takes the best step agrees exactly with none "
        "of them. A model that has learnt next to nothing is also nearest to the "
        "smallest step; where predicting 0 is nearer still, the claim is empty.",
    ),
    Statement(
        15,
        CAPACITY,
        "fig3",
        "Even that fit is poor in absolute terms. The paper gives no number.",
        "The threshold, 0.03, is ours. How poor the fit is depends on which gradient "
        "steps are among the learners, and a model that has learnt next to nothing is "
        "close to a small one; see claim 14.",
    ),
    Statement(
        16,
        CAPACITY,
        "fig3",
        "With two and four layers the nearest learner is a ridge predictor (0.1 or "
        "0.5), at d = 8 and 16. The paper gives no number.",
        "OLS and Ridge(0.1) are 0.006 apart on average over n < d at d = 8, and 0.003 "
        "at d = 16; which of the two is nearer depends on how far training went, not "
        "on depth alone.",
    ),
    Statement(
        17,
        CAPACITY,
        "fig3",
        "From eight layers on the nearest learner is OLS, at d = 8 and 16. The paper "
        "gives no number.",
        "As for claim 16, only a model whose own error is well below half of that gap "
        "can tell.",
    ),
    Statement(
        18,
        CAPACITY,
        "fig3",
        "Width 16 is enough for a ridge-like fit at d = 8; at d = 16 it takes 32.",
        "The paper does not say what counts as ridge-like; the figure and Appendix H "
        "name its colours differently. We ask that ridge or OLS be nearest from a "
        "width of 2d on, and that neither be at a width of d.",
    ),
    Statement(
        19,
        CAPACITY,
        "fig3",
        "At d = 16 width shifts the nearest learner from gradient step to ridge to "
        "OLS, as depth does. The paper gives no number.",
        "We ask this of our largest d. Claims 14 and 16 say what decides between "
        "neighbours.",
    ),
    Statement(
        20,
        CAPACITY,
        "fig3",
        "Not stated, but seen in the figure: the distance to OLS falls with depth and "
        "with width.",
        "One run stands for each size; we put a rise of up to a quarter from one to "
        "the next down to chance; this bar is ours.",
    ),
    Statement(
        21,
        CAPACITY,
        "fig8",
        "One head is enough to be closer to OLS than to Ridge(0.1), for each d of 1, "
        "2, 4, 8, 12, 16 and 20.",
        "From d = 8 on this is a difference of small numbers: the two predictors are "
        "less than 0.01 apart for n < d, where we average as in Figure 3. The verdict "
        "is for n < d alone; Figure 8 has n <= 2d beside it, which asks more of a "
        "model.",
    ),
    Statement(
        22,
        CAPACITY,
        "fig8",
        "The smallest width for that lies between 16 and 32, the smallest depth "
        "between 1 and 8; both grow with d in steps.",
        "Only sizes on the grid can be found (16 is the paper's smallest width), and a "
        "smallest size is that of one length of training. We ask for widths up to 32 "
        "and depths up to 8; where none suffices, the need counts as larger than all. "
        "Without the full grid, depth is varied at one width only, which then has the "
        "best chance of all widths. Whether the need grows is asked from d = 2 on: at "
        "d = 1 there is no n < d. The difference of the two distances is in units of "
        "the distance between OLS and Ridge(0.1): their ratio is 1.09 for a model that "
        "predicts 0, which looks like a near miss.",
    ),
    Statement(
        23,
        CAPACITY,
        "fig8",
        "The width needed is far below the O(d^2) of the construction: at most 32 for "
        "d = 16, against 3 + 5d + 3d^2 = 851 rows in Theorem 2.",
        "The bar, a quarter of these rows, is ours, and we ask it of our largest d. "
        "The rows are for exact updates of ridge regression; a trained model may do "
        "with fewer because it computes something else, or less exactly.",
    ),
    Statement(
        24,
        PROBING,
        "fig4",
        "An MLP probe reads both the moments X'y and the least-squares weights better "
        "than a linear one does. The paper shows curves and gives no number.",
        "The MLP probe is better in a network that was not trained, too, so that we "
        "ask for a larger factor than there. "
        "Errors here are shares of the target's variance, averaged over n. Those of "
        "the paper, on axes that end at 0.06 and 0.04, cannot be compared: the size "
        "of X'y grows with n, and the paper does not say how it was normalised.",
    ),
    Statement(
        25,
        PROBING,
        "fig4",
        "Errors are high at the input and low in deep layers, for both targets. The "
        "paper shows curves and gives no number.",
        "The threshold, half of the embedding's error, is ours. The embedding's error "
        "depends on the probe: one that averages tokens reads something out of inputs "
        "alone.",
    ),
    Statement(
        26,
        PROBING,
        "fig4",
        "X'y can be decoded from about layer 7 (of 16; the map shows layer 8), the "
        "least-squares weights from about layer 12.",
        "The paper does not say at which error a target counts as decoded: we take "
        "half of the embedding's error (26a) and the layer of the least error (26b). "
        "Layers of models of different depth cannot be compared, so we compare only "
        "their order.",
    ),
    Statement(
        27,
        PROBING,
        "fig5",
        "From a control model that saw w = (1, ..., 1) in every training prompt both "
        "targets are decoded less well, the moments significantly so. The paper gives "
        "no number.",
        "'Significantly' is read as a greater disadvantage for the moments (27c). "
        "Beside the control we show a network that was not trained at all, which the "
        "paper does not: it tells what the probe does by itself. Training on one w may "
        "destroy what any network has, so that the claim is judged against the better "
        "of the two.",
    ),
    Statement(
        28,
        PROBING,
        "fig4",
        "The probe's position weights stand on the token of y_n for n < d, and spread "
        "over the y-tokens from the fourth (the d-th) on for n >= d. The paper shows "
        "a heat map and gives no number.",
        "The threshold, half of the weight, is ours. The four rows of the paper's map "
        "may be n = 1..4 or the coordinates of the target.",
    ),
    Statement(
        29,
        THEORY,
        "construction",
        "Theorem 1: a transformer of O(1) layers and width O(d) takes one step of SGD; "
        "the proof lists 9 steps on 3 + 4d rows.",
        "The proof is corrected: the decay enters with a plus, tokens with nothing to "
        "move read themselves, and x-tokens take no step. Its position code needs a "
        "row for each token, ours two for each pattern. The bar on the error is ours.",
    ),
    Statement(
        30,
        THEORY,
        "construction",
        "Theorem 2: a transformer of O(1) layers and width O(d^2) makes one "
        "Sherman-Morrison update of ridge regression; the proof lists 14 steps on "
        "3 + 5d + 3d^2 rows.",
        "The proof is corrected: one step whose result is never read is left out with "
        "its d rows, and the last product has the wrong shape. The proof lists only "
        "the first update, for one pair.",
    ),
    Statement(
        31,
        THEORY,
        "construction",
        "Lemmas 4 and 6: GELUs multiply, and large pads lead past LayerNorm, as "
        "exactly as one likes. Lemma 4's remainder is given as cubic.",
        "The remainder has no cubic term, so the error falls with the square of the "
        "scale. The paper's pads err in first order; pads that are symmetric about the "
        "sum, which are ours, in second. Round-off ends both.",
    ),
    Statement(
        32,
        THEORY,
        "construction",
        "n steps take O(n) layers, by repeating the chain. The layers are not counted.",
        "Repeating the chain as listed does not suffice: from the second step on w is "
        "an activation, so that w.x is a product, and ridge regression has to carry "
        "the inverse matrix and X'y from token to token.",
    ),
    Statement(
        33,
        THEORY,
        "fig7",
        "Figure 7 and Appendix G: GELU, tanh by a finite difference, and ReLU piece "
        "by piece approximate x^2 on [-0.1, 0.1]. The paper gives no error.",
        "The bounds are ours; that of the GELU follows from its expansion, which has "
        "a relative error of -(7/6) x^2.",
    ),
)

BESIDE = {
    "correction": "Corrections of the printed proofs",
    "construction": "Constructed models, probed",
    "weights": "Decoding by linear probes of one token",
    "lens": "Layers as iterations (after Fu et al. 2024)",
    "steering": "Edits of hidden states",
    "noise": "The table of Figure 2, otherwise",
    "bar": "Bars of this repository",
}
"""Claims that are not the paper's, by the first word of their id."""
