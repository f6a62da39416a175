"""Description length: how many bits do features save when a target is written down?

A probe that scores well may have needed much data, or much capacity, to do so.
Description length counts both: the bits in which a receiver who has the features can be
sent the target, probe included (Voita & Titov 2020, "Information-theoretic probing with
minimum description length"). Two codes, each against the same code with an intercept
and no features:

- online (prequential): block after block of prompts is coded with a probe fitted to the
  blocks before it. Nothing of the probe has to be sent, and what is learned slowly
  costs bits early.
- evidence: minus log2 of the marginal likelihood of Bayesian ridge regression.

Labels are coded by `label_codelength`, online, with the probabilities of a classifier.

Shapes: features (prompts, features); target (prompts, q); the code of q coordinates is
the sum of theirs. A continuous target has a density in place of a probability: its bits
depend on its unit (and may be negative), *saved* bits do not. For a linear Gaussian
relation they tend to -log2(1 - R2) / 2 per prompt and coordinate, the mutual
information. A target without noise would save without end; a standard deviation of the
error is counted as at least 1e-6 of the target's.

When they mislead: a linear code leaves out what is encoded otherwise; features that
carry nothing cost bits, so that saved bits of different widths compare representations
*and* how hard they are to learn from; prompts that share a target must share a group.
"""

from probes.codelength.evidence import evidence_codelength as evidence_codelength
from probes.codelength.labels import label_codelength as label_codelength
from probes.codelength.online import online_codelength as online_codelength
from probes.codelength.result import Codelength as Codelength
