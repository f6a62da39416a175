"""Which models of a sweep are trained together, as one job?

Models that differ in seed, learning rate, noise or scale of the weights only have one
shape: one program can train them, side by side, as an ensemble. On an accelerator that
is far quicker than one after the other; on a CPU it is not. Three rules come before
that:

    an ensemble that was begun goes on with the same members;
    a model that was begun alone goes on alone;
    an ensemble's size is a multiple of the number of devices that it is split over.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

from icl.files import read_json
from icl.sweeps import hosts
from icl.sweeps.jobs import MEMBERS, Job
from icl.sweeps.runtime import accelerator_count, on_cpu
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.training.compiled import program_key
from icl.training.config import HOST_ONLY
from icl.training.description import fingerprint

ENSEMBLE = "ensemble-"  # the name of an unfinished ensemble's folder begins like this


def plan(
    known: Mapping[Path, Setting], unfinished: set[Path], models: Models
) -> list[Job]:
    """Returns the jobs that finish some models of a sweep, the dearest job first.

    Args:
        known: all settings of the sweep by the folders of their models.
        unfinished: the folders of the models that are to be trained.
        models: the store of the models, which says how many may be trained together
            (`together`) and over how many devices a job is split (`devices`).
    """
    jobs = _resumed_ensembles(known, unfinished, models)
    resumed = {folder for job in jobs for folder in job.folders}
    left = [folder for folder in known if folder in unfinished - resumed]
    devices = hosts.process_count() * (models.devices or accelerator_count())
    size = models.together or (1 if on_cpu() else len(known))
    if size > 1:
        groups = _grouped_by_program(known, left, models)
    else:
        groups = [[folder] for folder in left]
    for group in groups:
        for members in _split_over_devices(group, size, devices):
            home = members[0] if len(members) == 1 else _home_of(members)
            jobs.append(_job(members, known, home))
    return sorted(jobs, key=lambda job: -job.cost)


def _resumed_ensembles(
    known: Mapping[Path, Setting], unfinished: set[Path], models: Models
) -> list[Job]:
    """Returns the ensembles that were begun and can go on, one for each model at most.

    An ensemble goes on if all its members are settings of this sweep, some of them are
    unfinished, and they divide over the processes that train together.
    """
    assert models.results is not None
    jobs, left = [], set(unfinished)
    for home in sorted((models.results / "models").glob(f"{ENSEMBLE}*")):
        names = (read_json(home / MEMBERS) or {}).get("members")
        by_name = {folder.name: folder for folder in known}
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            continue
        members = [by_name.get(name, home) for name in names]
        all_known = home not in members and len(set(members)) == len(members)
        divides = len(members) % hosts.process_count() == 0
        if all_known and divides and not left.isdisjoint(members):
            jobs.append(_job(members, known, home))
            left.difference_update(members)
    return jobs


def _grouped_by_program(
    known: Mapping[Path, Setting], folders: Sequence[Path], models: Models
) -> list[list[Path]]:
    """Returns groups of models that one program could train, in the order of `folders`.

    A model that has checkpoints of its own is a group by itself.
    """
    groups: dict[Hashable, list[Path]] = {}
    for folder in folders:
        setting = known[folder]
        begun_alone = models.status(setting).step > 0
        program = folder if begun_alone else _program_of(setting)
        groups.setdefault(program, []).append(folder)
    return list(groups.values())


def _program_of(setting: Setting) -> Hashable:
    """Returns a key that two settings share if one ensemble can train both.

    One program can, and they are evaluated and kept after the same steps.
    """
    when = tuple(getattr(setting.train, name) for name in HOST_ONLY)
    return program_key(setting.task, setting.model, setting.train), when


def _split_over_devices(
    group: Sequence[Path], size: int, devices: int
) -> list[Sequence[Path]]:
    """Returns the ensembles into which a group is cut; what is left over is alone.

    Every ensemble has a multiple of `devices` members, and not more than `size`.
    """
    size -= size % devices
    if size <= 1:
        return [[folder] for folder in group]
    end = len(group) - len(group) % devices
    ensembles = [group[at : min(at + size, end)] for at in range(0, end, size)]
    return [*ensembles, *([folder] for folder in group[end:])]


def _home_of(members: Sequence[Path]) -> Path:
    """Returns the folder of an ensemble, which is named by the hash of its members."""
    name = fingerprint({"members": [folder.name for folder in members]})
    return members[0].with_name(f"{ENSEMBLE}{name}")


def _job(members: Sequence[Path], known: Mapping[Path, Setting], home: Path) -> Job:
    return Job(tuple(known[folder] for folder in members), tuple(members), home)
