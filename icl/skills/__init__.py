"""Skills: what a share of failing pieces says about combinations of skills.

Given which items a model gets wrong, and which skills each of them needs:

- On which skills do the failures concentrate? `competence` and `tuple_competence`
  measure it; `bound` and `worst_case` say how bad it can be, given only the share of
  failures; `adversary` and `random_failures` make failures to compare with.
- Is success at tuples more or less than the product of single skills? `composition`.
- How many combinations can a corpus hold, and how many must be new to a model?
  `unseen_share` and `novelty`.

The theory is that of Arora and Goyal 2023 (arXiv 2307.15936); `docs/skills.md` tells it
in pictures. Everything is NumPy on arrays of outcomes, and no model is run.
"""

from icl.skills.bounds import Bound as Bound
from icl.skills.bounds import bound as bound
from icl.skills.bounds import divergence as divergence
from icl.skills.bounds import entropy as entropy
from icl.skills.bounds import margin as margin
from icl.skills.bounds import performance_curve as performance_curve
from icl.skills.bounds import smallest_alpha as smallest_alpha
from icl.skills.bounds import worst_case as worst_case
from icl.skills.failures import Adversary as Adversary
from icl.skills.failures import adversary as adversary
from icl.skills.failures import independent_failures as independent_failures
from icl.skills.failures import random_failures as random_failures
from icl.skills.graph import SkillGraph as SkillGraph
from icl.skills.graph import zipf as zipf
from icl.skills.independence import composition as composition
from icl.skills.independence import skill_successes as skill_successes
from icl.skills.measuring import competence as competence
from icl.skills.measuring import failure_quantiles as failure_quantiles
from icl.skills.measuring import pair_dependence as pair_dependence
from icl.skills.measuring import tuple_competence as tuple_competence
from icl.skills.measuring import tuples_of as tuples_of
from icl.skills.measuring import wilson_interval as wilson_interval
from icl.skills.peeling import peel as peel
from icl.skills.scaling import CHINCHILLA as CHINCHILLA
from icl.skills.scaling import ScalingLaw as ScalingLaw
from icl.skills.scaling import cloze_failure as cloze_failure
from icl.skills.scaling import served_tuple as served_tuple
from icl.skills.skillmix import all_skills as all_skills
from icl.skills.skillmix import corpus_share as corpus_share
from icl.skills.skillmix import full_marks as full_marks
from icl.skills.skillmix import grade as grade
from icl.skills.skillmix import novelty as novelty
from icl.skills.skillmix import saturation as saturation
from icl.skills.skillmix import skill_fraction as skill_fraction
from icl.skills.tuples import combinations as combinations
from icl.skills.tuples import glue as glue
from icl.skills.tuples import glued_failure as glued_failure
from icl.skills.tuples import seen_share as seen_share
from icl.skills.tuples import unseen_share as unseen_share
