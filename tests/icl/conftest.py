"""A run that tests of checkpoints share."""

import pytest
from checkpoint_cases import KEY

from icl import train
from icl.training import checkpoint


@pytest.fixture(scope="session")
def run(task, model_config, train_config, tmp_path_factory):
    """The directory of a run that was stopped at step 250, with steps 200 and 250."""
    directory = tmp_path_factory.mktemp("run")

    def stop(step, metrics):
        if step == 250:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            task,
            model_config,
            train_config,
            key=KEY,
            directory=directory,
            callback=stop,
        )
    assert [p.name for p in checkpoint.folders(directory)] == [
        "step_00000200",
        "step_00000250",
    ]
    return directory
