"""Weights of other programs give their predictions and states, from any source."""

import re

import jax
import numpy as np
import pytest
from published_weights import (
    CASES,
    DIM,
    HEADS,
    LAYERS,
    PAIRS,
    WIDTH,
    XS,
    YS,
    garg,
    gpt2,
    layer_norm,
    normal,
    tokens_apart,
)
from safetensors.numpy import load_file, save_file

from icl import LinearRegression, Prompts, Trained, import_model, load
from icl.model.building import arrays_of, model_from_arrays, with_parameters


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def apart(found, expected):
    found = np.asarray(found, np.float64)
    return np.abs(found - expected).max() / np.abs(expected).max()


def outputs_of(model, dtype="float32"):
    with jax.enable_x64(dtype == "float64"):
        prompts = Prompts(*(jax.numpy.asarray(a, dtype) for a in (XS, YS)))
        predictions, hidden = model(prompts)
        return np.asarray(predictions), np.asarray(hidden)


# --- the same function ---


@pytest.mark.parametrize("dtype, tolerance", [("float32", 3e-6), ("float64", 1e-14)])
def test_predictions_and_states_are_the_originals(case, dtype, tolerance):
    weights, original = case
    states, predictions = original(weights)
    model = import_model(weights, heads=HEADS, dtype=dtype)
    found, hidden = outputs_of(model, dtype)
    assert found.dtype == dtype and found.shape == (2, PAIRS)
    assert apart(found, predictions) < tolerance
    for have, want in zip(hidden, states, strict=True):
        assert apart(have, want[:, : 2 * PAIRS - 1]) < tolerance


def test_the_last_state_of_hugging_face_is_behind_the_norm():
    weights = CASES["Garg et al."][0]
    states, _ = garg(weights)
    norm = (weights[f"_backbone.ln_f.{leaf}"] for leaf in ("weight", "bias"))
    theirs = layer_norm(states[-1], *norm)[:, :-1]
    model = import_model(weights, heads=HEADS)
    hidden = outputs_of(model)[1][-1]
    assert apart(model.normalised(jax.numpy.asarray(hidden)), theirs) < 3e-6
    assert apart(hidden, theirs) > 0.1


def test_shorter_prompts_need_fewer_positions():
    weights, _ = CASES["Raventos et al."]
    model = import_model(weights, heads=HEADS, length=3)
    assert model.codec.length == 3
    table = weights["_h.wpe.embedding"][:5]
    np.testing.assert_array_equal(model.positions[...], table)


def test_an_imported_model_is_saved_with_a_task(tmp_path):
    model = import_model(CASES["Garg et al."][0], heads=HEADS)
    trained = Trained.from_model(model, LinearRegression(DIM, PAIRS))
    path = trained.export(tmp_path / "garg.safetensors")
    assert_same(load(path).model, model)
    with pytest.raises(ValueError, match="entries: 4 there, 21 asked for"):
        Trained.from_model(model, LinearRegression(20, PAIRS))
    with pytest.raises(ValueError, match=r"names of icl itself; .* with icl\.load"):
        import_model(path, heads=HEADS)


def test_an_exported_model_runs_without_icl(tmp_path):
    """Its body is GPT-2: the file alone, and the table of docs/weights.md."""
    model = import_model(CASES["Garg et al."][0], heads=HEADS)
    trained = Trained.from_model(model, LinearRegression(DIM, PAIRS))
    arrays = load_file(trained.export(tmp_path / "model.safetensors", history=False))
    table = {
        "norm_attention.scale": "ln_1.weight",
        "norm_attention": "ln_1",
        "attention.qkv": "attn.c_attn",
        "attention.out": "attn.c_proj",
        "norm_mlp.scale": "ln_2.weight",
        "norm_mlp": "ln_2",
        "mlp.up": "mlp.c_fc",
        "mlp.down": "mlp.c_proj",
        "final_norm.scale": "ln_f.weight",
        "final_norm": "ln_f",
        "body": "h",
        "kernel": "weight",
    }
    theirs = {}
    for name, array in arrays.items():
        for ours, word in table.items():
            name = name.replace(ours, word)
        theirs[name] = array
    state = tokens_apart()[:, :-1] @ arrays["read_in.kernel"] + arrays["read_in.bias"]
    state = state + arrays["positions"]
    states, last = gpt2(theirs, state, "h.{}.", "weight", "weight", "ln_f")
    out = (last @ arrays["head.kernel"] + arrays["head.bias"])[:, ::2, 0]
    predictions, hidden = outputs_of(model)
    assert apart(predictions, out) < 3e-6
    assert apart(hidden, states) < 3e-6


# --- where weights come from ---


def assert_same(one, other):
    a, b = arrays_of(one), arrays_of(other)
    assert a.keys() == b.keys()
    assert all((a[name] == b[name]).all() for name in a)


@pytest.fixture(scope="module")
def weights():
    return CASES["Garg et al."][0]


@pytest.fixture(scope="module")
def model(weights):
    return import_model(weights, heads=HEADS)


def test_dictionaries_may_be_nested_or_flat_or_wrapped(weights, model):
    wrapped = {f"module.{name}": array for name, array in weights.items()}
    whole = {"model_state_dict": wrapped, "optimizer_state_dict": {}, "train_step": 5}
    assert_same(import_model(whole, heads=HEADS), model)
    nested = CASES["Akyürek et al."][0]
    flat = flattened(nested)
    for other in (
        {"params": nested, "step": np.int32(7), "opt_state": {"mu": nested}},
        {"/".join(path): array for path, array in flat.items()},
        flat,
    ):
        assert_same(import_model(other), import_model(nested))


def flattened(tree, path=()):
    if not isinstance(tree, dict):
        return {path: tree}
    parts = [flattened(value, (*path, key)) for key, value in tree.items()]
    return {name: array for part in parts for name, array in part.items()}


def test_masks_and_unused_tables_of_older_files_are_left_out(weights, model):
    more = dict(weights)
    for layer in range(LAYERS):
        more[f"_backbone.h.{layer}.attn.bias"] = np.tri(8, dtype=bool)[None, None]
        more[f"_backbone.h.{layer}.attn.masked_bias"] = np.float32(-1e4)
    more["_backbone.wte.weight"] = normal(11, WIDTH)
    assert_same(import_model(more, heads=HEADS), model)


def test_numbers_are_kept_whatever_their_dtype():
    half = {n: a.astype(np.float16) for n, a in CASES["Garg et al."][0].items()}
    exact = {n: a.astype(np.float32) for n, a in half.items()}
    assert_same(import_model(half, heads=HEADS), import_model(exact, heads=HEADS))


def test_safetensors_are_read(weights, model, tmp_path):
    save_file(weights, tmp_path / "garg.safetensors")
    assert_same(import_model(tmp_path / "garg.safetensors", heads=HEADS), model)
    flat = {".".join(p): a for p, a in flattened(CASES["without norms"][0]).items()}
    save_file(flat, tmp_path / "flax.safetensors")
    found = import_model(str(tmp_path / "flax.safetensors"))
    assert_same(found, import_model(CASES["without norms"][0]))


def test_checkpoints_of_pytorch_are_read(weights, model, tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(array) for name, array in weights.items()}
    assert_same(import_model(tensors, heads=HEADS), model)
    path = tmp_path / "state.pt"
    for held in (tensors, {"model_state_dict": tensors, "train_step": 3}):
        torch.save(held, path)
        assert_same(import_model(path, heads=HEADS), model)
    rounded = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    exact = {name: tensor.float() for name, tensor in rounded.items()}
    found, expected = (import_model(each, heads=HEADS) for each in (rounded, exact))
    assert_same(found, expected)
    # 24 kB on the disk, and terabytes in memory
    endless = {name: torch.zeros(1).expand(10**6, 10**6) for name in tensors}
    torch.save(endless, path)
    with pytest.raises(ValueError, match=r"got a tensor of 4,000,000,000,000 bytes of"):
        import_model(path, heads=HEADS)
    truths = {name: tensor > 0 for name, tensor in tensors.items()}
    torch.save(truths, path)
    with pytest.raises(ValueError, match="must hold floats, got an array of bool"):
        import_model(path, heads=HEADS)
    torch.save(Prompts(XS, YS), path)  # a class, which is code
    with pytest.raises(ValueError, match="cannot be read as weights alone"):
        import_model(path, heads=HEADS)
    torch.save(tensors["_read_in.bias"], path)
    with pytest.raises(ValueError, match="must hold a dictionary of weights, got Ten"):
        import_model(path, heads=HEADS)


def test_without_pytorch_its_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    (tmp_path / "state.pt").write_bytes(b"PK")
    with pytest.raises(ImportError, match=r"not installed; run `pip install torch`"):
        import_model(tmp_path / "state.pt", heads=HEADS)


def test_other_sources_are_refused(weights, tmp_path, untyped):
    with pytest.raises(ValueError, match=r"got list; a module of PyTorch gives its st"):
        import_model([weights], heads=HEADS)
    with pytest.raises(ValueError, match=r"a file of weights, got the folder .*state"):
        import_model(tmp_path, heads=HEADS)
    with pytest.raises(ValueError, match=r"ends in \.safetensors or .*got '.*a\.npz'"):
        import_model(tmp_path / "a.npz", heads=HEADS)
    for name in ("none.safetensors", "none.pt"):
        with pytest.raises(FileNotFoundError, match="There is no file"):
            import_model(tmp_path / name, heads=HEADS)
    (tmp_path / "cut.safetensors").write_bytes(b"1234")
    with pytest.raises(ValueError, match="is no complete safetensors file"):
        import_model(tmp_path / "cut.safetensors", heads=HEADS)
    with pytest.raises(
        ValueError, match=r"note must hold real .*Leave out what is no weight"
    ):
        import_model({**weights, "note": "by me"}, heads=HEADS)


# --- weights that do not fit ---


def refused(weights, said, changes=None, without=(), **settings):
    changed = {n: a for n, a in weights.items() if n not in without} | (changes or {})
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        import_model(changed, **{"heads": HEADS, **settings})
    assert "\n" not in str(error.value)


def test_heads_must_be_given_and_fit(weights):
    refused(weights, "heads must be given, because weights of GPT-2", heads=None)
    refused(weights, "heads must divide 16, the width of the weights, got 3", heads=3)
    refused(weights, "heads must be an integer >= 1, got 0", heads=0)
    nested = CASES["Akyürek et al."][0]
    refused(nested, "heads must be 2, which is in the shapes of the weights", heads=4)


def test_there_must_be_positions_for_the_length(weights):
    said = "length must be at most 4, because the weights have 8 positions"
    refused(weights, said, length=5)
    refused(weights, "length must be an integer >= 1, got 0", length=0)
    odd = {"_backbone.wpe.weight": normal(7, WIDTH)}
    assert import_model({**weights, **odd}, heads=HEADS).codec.length == 4


def test_parts_must_fit_together(weights):
    kernel = "_backbone.h.1.attn.c_attn.weight"
    refused(weights, f"{kernel} is missing", without=[kernel])
    refused(weights, "_backbone.ln_g.bias is not expected", {"_backbone.ln_g.bias": 0})
    said = f"{kernel} has shape (48, 16), expected (16, 48)"
    refused(weights, said, {kernel: normal(48, 16)})
    said = "_read_out.weight has shape (2, 16), expected (1, 16)"
    refused(weights, said, {"_read_out.weight": normal(2, WIDTH)})
    said = "_read_in.weight has shape (20, 3), expected (16, 3)"
    refused(weights, said, {"_read_in.weight": normal(20, DIM)})
    said = "_read_in.weight must have axes (width, dim) of sizes (any, any), got shape"
    refused(weights, said, {"_read_in.weight": normal(WIDTH)})
    said = "must have _backbone.wpe.weight (positions, width), which is missing"
    refused(weights, said, without=["_backbone.wpe.weight"])
    layer = {n: a for n, a in weights.items() if ".h.0." in n}
    refused(weights, "_backbone.h.0.mlp.c_fc.weight (width, units)", without=layer)
    for number in ("9" * 10, "9" * 5_000):  # no layer is made that is not there
        far = {f"_backbone.h.{number}.ln_1.bias": normal(WIDTH)}
        refused(weights, "larger than that of all arrays", far)
    nan = {"_read_in.bias": np.full(WIDTH, np.nan)}
    refused(weights, "_read_in.bias must be finite", nan)


def test_parts_of_the_other_forms_must_fit_too():
    flat = {".".join(p): a for p, a in flattened(CASES["Akyürek et al."][0]).items()}
    key = "Transformer_0.Encoder1DBlock_1.SelfAttention_0.key.kernel"
    said = f"{key} has shape (16, 4, 2), expected (16, 2, 4)"
    refused(flat, said, {key: normal(16, 4, 2)}, heads=None)
    refused(flat, f"{key} is missing", without=[key], heads=None)
    weights = CASES["Raventos et al."][0]
    said = "_h.hs_1.ln_2.scale is missing"
    refused(weights, said, without=["_h.hs_1.ln_2.scale"])
    refused(weights, "_in.bias is not expected", {"_in.bias": normal(WIDTH)})


def test_weights_of_unknown_programs_are_refused():
    language = {"transformer.wte.weight": normal(5, 4)}
    said = r"with the name _read_in\.weight \(Garg .* got transformer\.wte\.weight; re"
    with pytest.raises(ValueError, match=said):
        import_model(language, heads=1)
    with pytest.raises(ValueError, match="got no arrays"):
        import_model({}, heads=1)


# --- weights that are not what they seem ---


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, bool])
def test_quantised_weights_are_refused(weights, dtype):
    name = "_read_in.bias"
    changes = {name: weights[name].astype(dtype)}
    said = f"{name} must hold floats, got an array of {np.dtype(dtype)}; if weights"
    refused(weights, said, changes)


def test_weights_that_the_dtype_does_not_hold_are_refused(weights):
    large = np.full(WIDTH, 1e39)
    changed = {**weights, "_read_in.bias": large}
    said = r"arrays\['read_in.bias'\] must be finite in float32, but 16 of its 16 val"
    with pytest.raises(ValueError, match=said):
        import_model(changed, heads=HEADS)
    model = import_model(changed, heads=HEADS, dtype="float64")
    np.testing.assert_array_equal(arrays_of(model)["read_in.bias"], large)


def test_one_name_has_one_array(weights):
    name = "_read_in.bias"
    said = f"one array of each name, got two of {name}, in which / and dictionaries"
    refused(weights, said, {"_read_in/bias": weights[name]})
    refused(weights, said, {"_read_in": {"bias": weights[name]}})


def test_dictionaries_without_end_are_refused(weights):
    endless = dict(weights)
    endless["a"] = endless
    said = "must have dictionaries that lie at most 64 deep in each other"
    with pytest.raises(ValueError, match=said):
        import_model(endless, heads=HEADS)
    deep = {}
    for _ in range(5_000):
        deep = {"a": deep}
    refused(weights, said, {"b": deep})
    nested = {"params": {"inner": weights}}
    assert_same(import_model(nested, heads=HEADS), import_model(weights, heads=HEADS))


def test_names_do_not_reach_the_terminal_as_they_are(weights):
    name = "_read_in.bias\x1b[31m\nSaved"
    refused(weights, "'_read_in.bias\\x1b[31m\\nSaved' is not expected", {name: XS})
    with pytest.raises(ValueError, match=r"got '\\x1b\[31m'; rename them"):
        import_model({"\x1b[31m": XS}, heads=HEADS)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.full(1, 1e300), "must be finite in float32, but 1 of its 1 values are too"),
        (np.full(1, np.nan), "must be finite, but 1 of its 1"),
        (np.full(1, 1j), "must hold real numbers, got an array of complex128"),
        (None, "must be an array of real numbers, got None"),
        ("text", "must hold real numbers, got 'text'"),
    ],
)
def test_parameters_are_finite_real_numbers(weights, untyped, array, said):
    model = import_model(weights, heads=HEADS)
    arrays = arrays_of(model) | {"head.bias": array}
    said = rf"^arrays\['head.bias'\] {said}"
    with pytest.raises(ValueError, match=said):
        model_from_arrays(model.codec, model.config, arrays)
    if not isinstance(array, np.ndarray) or not np.isnan(array).any():
        with pytest.raises(ValueError, match=said):
            with_parameters(model, {"head.bias": array})


def test_new_parameters_are_no_shorter_than_float32(weights, untyped):
    model = import_model(weights, heads=HEADS)
    for array in (np.ones(1, np.float16), np.ones(1, int), [1]):
        changed = with_parameters(model, {"head.bias": array})
        assert changed.head.bias[...].dtype == np.float32
    with pytest.raises(ValueError, match="arrays must be a dictionary of arrays"):
        with_parameters(model, [1])
