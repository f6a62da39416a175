"""A saved model has all that made it, and says what differs."""

import json
from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checkpoint_cases import KEY, assert_same_model

import icl
from icl import (
    CheckpointError,
    LinearRegression,
    ModelConfig,
    TrainConfig,
    load,
    save,
    train_ensemble,
)
from icl.model.building import abstract_params
from icl.training import checkpoint
from icl.training.checkpoint import (
    Stored,
    read,
    write,
)
from icl.training.description import PARTS, changed, configs, describe, differences

# --- Models --------------------------------------------------------------------------


def test_a_saved_model_needs_nothing_else(trained, tmp_path):
    folder = save(tmp_path / "model", trained)
    for path in (folder, tmp_path / "model", str(tmp_path / "model")):
        loaded = load(path)
        assert_same_model(loaded, trained)
        for name in ("task", "model_config", "train_config", "steps"):
            assert getattr(loaded, name) == getattr(trained, name)


def test_a_run_can_be_loaded_wherever_it_stands(run, trained):
    loaded = load(run)
    assert loaded.steps == 250
    assert loaded.train_config.steps == 300
    np.testing.assert_array_equal(loaded.history.evaluation, [0, 100, 200])
    np.testing.assert_array_equal(loaded.history.loss, trained.history.loss[:250])
    assert load(checkpoint.folders(run)[0]).steps == 200


def test_a_field_that_is_newer_than_a_checkpoint_had_its_default(
    trained, task, model_config, train_config, run
):
    """The hash leaves defaults out, and a stored description may lack them."""
    made_of = (task, model_config, train_config)
    about = describe(*made_of)
    assert set(about["task"]) == {"kind"} | {f.name for f in fields(task)}
    for part, name in (("task", "fixed_weights"), ("train", "precision")):
        assert name not in changed(dict(zip(PARTS, made_of, strict=True))[part])
        del about[part][name]
    assert differences(about, made_of) == []
    assert configs(about) == made_of
    del about["train"]["steps"]  # which is not its default
    assert differences(about, made_of) == ["train.steps: 20000 there, 300 asked for"]


def test_every_setting_survives(tmp_path):
    task = LinearRegression(
        dim=2,
        length=3,
        noise_std=0.1,
        weight_std=0.3,
        inputs="uniform",
        covariance=((1.0, 0.1), (0.1, 2.0)),
        fixed_weights=(1 / 3, -1.0),
    )
    model = ModelConfig(
        layers=1, width=6, heads=4, head_dim=3, mlp_width=0, norm="none"
    )
    config = TrainConfig(steps=3, schedule="constant", clip=None, learning_rate=1 / 3)
    abstract = abstract_params(task.codec, model)
    params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), abstract)
    history = {
        "loss": np.zeros(3),
        "gradient_norm": np.zeros(3),
        "held_out_loss": np.zeros((2, 3)),
        "evaluated": np.array([0, 3]),
    }
    whole = icl.training.trained.assemble((task, model, config), params, history, 3)
    save(tmp_path, whole)
    loaded = load(tmp_path)
    assert (loaded.task, loaded.model_config) == (task, model)
    assert loaded.train_config == config
    assert_same_model(loaded, whole)


def test_saving_never_overwrites(trained, run, tmp_path):
    save(tmp_path, trained)
    for path in (tmp_path, run):
        before = sorted(path.iterdir())
        with pytest.raises(FileExistsError, match="choose another directory"):
            save(path, trained)
        assert sorted(path.iterdir()) == before


def test_there_may_be_nothing_to_load(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="There is no checkpoint in"):
            load(path)


def edited(trained, tmp_path, edit):
    """A whole checkpoint whose content was made by another version, say."""
    content = read(save(tmp_path / "original", trained))
    about = json.loads(json.dumps(content.about))
    arrays = dict(content.arrays)
    edit(about, arrays)
    return write(tmp_path / "edited", Stored(content.step, about, arrays))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda about, _: about["model"].update(depth=3), "cannot be read: .*'depth'"),
        (
            lambda about, _: about["task"].update(kind="Cubic"),
            "cannot be read: unknown task 'Cubic'",
        ),
        (lambda about, _: about.pop("train"), "cannot be read: 'train'"),
        (
            lambda about, _: about["model"].update(norm="post"),
            "cannot be read: norm must .* got 'post'",
        ),
        (
            lambda _, arrays: arrays.pop("state.params.head.bias"),
            r"does not fit this model: state\.params\.head\.bias is missing\.",
        ),
        (
            lambda about, _: about["model"].update(width=4),
            r"has shape \(8,\), expected \(4,\).* more\.",
        ),
        (
            lambda about, _: about["model"].update(layers=1),
            r"state\.params\.body\.1.* is not expected",
        ),
    ],
)
def test_a_checkpoint_of_another_shape_says_what_differs(
    trained, tmp_path, edit, message
):
    folder = edited(trained, tmp_path, edit)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_an_ensemble_is_not_one_model(task, model_config, train_config, tmp_path):
    def stop(step, metrics):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_ensemble(
            task,
            model_config,
            train_config,
            keys=jax.random.split(KEY, 2),
            directory=tmp_path,
            callback=stop,
        )
    with pytest.raises(
        CheckpointError, match=r"an ensemble of 2 models; call train_ens"
    ):
        load(tmp_path)
