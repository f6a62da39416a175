"""Skill-Mix: grades of texts that combine k skills, and how many of them must be new.

Yu et al. 2023 (arXiv 2310.17567) ask a language model for a text about a topic that
shows k named skills, and a grader gives points: one for each skill, and one each for
the topic, for making sense and for being short. Here verdicts are given, by whoever
graded, and become scores. No language model is called, and none is imitated.

Whether a text can have been copied is a count. A corpus of L sentences holds at most
p_s^k p_t C(N, k) T L combinations of k of N skills and one of T topics, if a sentence
shows a skill with probability p_s and a topic with p_t, and *skills occur
independently*, which is an assumption.
"""

import math

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Num

from icl import checks
from icl.arrays import real
from icl.skills import arguments

OTHER_POINTS = 3
"""The points for the topic, for making sense and for being short."""

RULES = ("full_marks", "all_skills", "skill_fraction")
"""The three scores of a text."""


def full_marks(
    skill_points: Num[np.ndarray, " texts"],
    other_points: Num[np.ndarray, " texts"],
    k: int,
) -> Float[np.ndarray, " texts"]:
    """Returns 1 for texts that have all k + 3 points, and 0 for others.

    Args:
        skill_points: the number of skills that each text shows, 0 to k.
        other_points: the points for topic, sense and length, 0 to 3.
        k: the number of skills that were asked for.

    Raises:
        ValueError: points are out of range, or the two have different shapes.

    Example:
        >>> full_marks(np.array([2, 2, 1]), np.array([3, 2, 3]), k=2).tolist()
        [1.0, 0.0, 0.0]
    """
    skills, others, k = _points(skill_points, other_points, k)
    return ((skills == k) & (others == OTHER_POINTS)).astype(float)


def all_skills(
    skill_points: Num[np.ndarray, " texts"],
    other_points: Num[np.ndarray, " texts"],
    k: int,
) -> Float[np.ndarray, " texts"]:
    """Returns 1 for texts that show all k skills and miss at most one other point.

    Args:
        skill_points: the number of skills that each text shows, 0 to k.
        other_points: the points for topic, sense and length, 0 to 3.
        k: the number of skills that were asked for.

    Raises:
        ValueError: points are out of range, or the two have different shapes.

    Example:
        >>> all_skills(np.array([2, 2, 1]), np.array([3, 2, 3]), k=2).tolist()
        [1.0, 1.0, 0.0]
    """
    skills, others, k = _points(skill_points, other_points, k)
    return ((skills == k) & (others >= OTHER_POINTS - 1)).astype(float)


def skill_fraction(
    skill_points: Num[np.ndarray, " texts"],
    other_points: Num[np.ndarray, " texts"],
    k: int,
) -> Float[np.ndarray, " texts"]:
    """Returns the share of skills that texts with all other points show; else 0.

    Args:
        skill_points: the number of skills that each text shows, 0 to k.
        other_points: the points for topic, sense and length, 0 to 3.
        k: the number of skills that were asked for.

    Raises:
        ValueError: points are out of range, or the two have different shapes.

    Example:
        >>> skill_fraction(np.array([2, 2, 1]), np.array([3, 2, 3]), k=2).tolist()
        [1.0, 0.0, 0.5]
    """
    skills, others, k = _points(skill_points, other_points, k)
    return np.where(others == OTHER_POINTS, skills / k, 0.0)


def grade(
    verdicts: Bool[np.ndarray, "questions texts points"], *, best_of: int = 1
) -> xr.Dataset:
    """Returns the three scores of each question from a grader's verdicts.

    Args:
        verdicts: whether each point was given, (questions, texts, k + 3): first the
            skills, then topic, sense and length. The second axis holds the texts that
            were written for the same question.
        best_of: the number of texts, from the first on, of which the best counts. Notes
            on the paper disagree whether it is the best of three.

    Returns:
        A Dataset over `question` with `full_marks`, `all_skills` and `skill_fraction`,
        each of the text that does best by it.

    Raises:
        ValueError: verdicts are not boolean or have no such shape, or best_of is more
            than there are texts.

    Example:
        >>> verdicts = np.ones((2, 3, 2 + 3), bool)      # k = 2
        >>> verdicts[1, :, 0] = False                    # a skill that no text shows
        >>> scores = grade(verdicts, best_of=3)
        >>> float(scores.full_marks.mean()), float(scores.skill_fraction.mean())
        (0.5, 0.75)
    """
    found = np.asarray(real("verdicts", verdicts))
    checks.shape_of("verdicts", found, (None, None, None), "(questions, texts, points)")
    k = found.shape[2] - OTHER_POINTS
    if found.dtype != bool or k < 1 or not found.size:
        raise ValueError(
            "verdicts must hold True or False for at least 1 question and text, and "
            f"for k + {OTHER_POINTS} points each, got {found.dtype} of shape "
            f"{found.shape}."
        )
    best_of = checks.positive_int("best_of", best_of)
    if best_of > found.shape[1]:
        raise ValueError(
            f"best_of must be at most {found.shape[1]}, the number of texts for each "
            f"question, got {best_of}."
        )
    counted = found[:, :best_of]
    skills, others = counted[..., :k].sum(axis=-1), counted[..., k:].sum(axis=-1)
    rules = (full_marks, all_skills, skill_fraction)
    scores = [
        rule(skills.ravel(), others.ravel(), k).reshape(skills.shape).max(axis=1)
        for rule in rules
    ]
    named = dict(zip(RULES, scores, strict=True))
    return xr.Dataset({name: ("question", score) for name, score in named.items()})


def saturation(scores: dict[int, float], level: int | float) -> int | None:
    """Returns the first k at which the score falls below a level, or None.

    Args:
        scores: the mean score for each k.
        level: the level, which must be stated with the result.

    Raises:
        ValueError: there are no scores, a k is no whole number, or a score or the level
            is no share.

    Example:
        >>> saturation({2: 0.5, 3: 0.2, 4: 0.02}, level=0.1)
        4
    """
    level = arguments.probability("level", level)
    checks.of_kind("scores", scores, dict, "a dictionary from k to a score")
    if not scores:
        raise ValueError("scores must hold a score for at least one k, got none.")
    known = {
        checks.positive_int("a k of scores", k): arguments.probability("scores", score)
        for k, score in scores.items()
    }
    return next((k for k in sorted(known) if known[k] < level), None)


def corpus_share(p_skill: float, p_topic: float, corpus: int | float, k: int) -> float:
    """Returns the largest share of all combinations that a corpus holds.

    $$p_s^k p_t L$$

    It may be more than 1, and then says nothing.

    Args:
        p_skill: p_s, how likely a sentence is to show a given skill.
        p_topic: p_t, how likely it is to be about a given topic.
        corpus: L, the number of sentences.
        k: the number of skills of a combination.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> round(corpus_share(0.0144, 0.0022, corpus=5e10, k=5), 5)
        0.06811
    """
    p_skill = arguments.fraction("p_skill", p_skill)
    p_topic = arguments.fraction("p_topic", p_topic)
    corpus = checks.finite_number("corpus", corpus, positive=True)
    k = checks.positive_int("k", k, maximum=arguments.MOST)
    power = k * math.log(p_skill) + math.log(p_topic) + math.log(corpus)
    return math.exp(min(power, 709.0))


def novelty(
    p_skill: float, p_topic: float, corpus: int | float, k: int, rate: int | float
) -> float:
    """Returns the least share of a model's successes that its corpus does not hold.

    $$1 - p_s^k p_t L / r$$

    It is 0 where that is negative and proves nothing. All that the corpus holds is
    taken for a success, and skills for independent.

    Args:
        p_skill: p_s, how likely a sentence is to show a given skill.
        p_topic: p_t, how likely it is to be about a given topic.
        corpus: L, the number of sentences.
        k: the number of skills of a combination.
        rate: r, the share of combinations at which the model succeeds.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> round(novelty(0.0144, 0.0022, corpus=5e10, k=6, rate=0.08), 3)
        0.988
    """
    rate = arguments.probability("rate", rate)
    if not rate:
        raise ValueError("rate must be above 0, got 0: without success nothing is new.")
    return max(0.0, 1 - corpus_share(p_skill, p_topic, corpus, k) / rate)


def _points(
    skill_points: np.ndarray, other_points: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns both kinds of points as arrays of one shape, checked."""
    k = checks.positive_int("k", k, maximum=arguments.MOST)
    skills = np.asarray(checks.array("skill_points", skill_points, (None,), "(texts,)"))
    axes = "(texts,), as skill_points"
    others = np.asarray(checks.array("other_points", other_points, skills.shape, axes))
    given = ("skill_points", skills, k), ("other_points", others, OTHER_POINTS)
    for name, points, most in given:
        if points.size and not 0 <= points.min() <= points.max() <= most:
            raise ValueError(
                f"{name} must lie from 0 to {most}, got {points.min():g} to "
                f"{points.max():g}."
            )
    return skills, others, k
