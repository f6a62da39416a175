"""States out of PyTorch models and edits into them; skipped without PyTorch."""

import doctest
import functools
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from probes import probe_grid, write  # noqa: E402
from probes.torch import check_edits, resume, states  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs/torch.md"
PROMPTS, TOKENS, WIDTH, BLOCKS = 7, 5, 8, 3


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Block(nn.Module):
    """A block whose stream is added to, in one of several ways."""

    def __init__(self, returns=None, in_place=False):
        super().__init__()
        self.mix, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(0.5)
        self.returns, self.in_place = returns, in_place

    def forward(self, x, scale=1.0):
        change = scale * self.dropout(self.mix(self.norm(x)).cumsum(1).tanh())
        if self.in_place:
            x += change
        else:
            x = x + change
        return x if self.returns is None else self.returns((x, change))


class Model(nn.Module):
    """Embedding, blocks, a final norm and a readout."""

    def __init__(self, make=Block, by_name=False):
        super().__init__()
        self.embed = nn.Linear(2, WIDTH)
        self.blocks = nn.ModuleList([make() for _ in range(BLOCKS)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)
        self.by_name = by_name

    def stream(self, xs):
        """Yields the stream at each layer; written apart from the hooks."""
        x = self.embed(xs)
        yield x.clone()
        for block in self.blocks:
            x = block(scale=0.5, x=x) if self.by_name else block(x)
            x = x[0] if isinstance(x, tuple | list) else x
            yield x.clone()

    def forward(self, xs):
        *_, last = self.stream(xs)
        return self.head(self.norm(last))


@pytest.fixture
def xs():
    return torch.randn(PROMPTS, TOKENS, 2)


def by_hand(model, xs):
    """The stream and the outputs without hooks, in eval mode."""
    training = model.training
    model.eval()
    with torch.no_grad():
        layers = torch.stack(list(model.stream(xs))).numpy()
        outputs = model(xs).numpy()
    model.train(training)
    return layers, outputs


KINDS = {
    "tensor": {},
    "tuple": {"make": functools.partial(Block, tuple)},
    "list": {"make": functools.partial(Block, list)},
    "in place": {"make": functools.partial(Block, in_place=True)},
    "by name": {"by_name": True},
}


@pytest.mark.parametrize("batch", [3, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_states_are_what_passes_between_blocks(xs, kind, batch):
    model = Model(**KINDS[kind])
    layers, outputs = by_hand(model, xs)
    hidden = states(model, xs, blocks="blocks", batch=batch)
    assert hidden.dtype == np.float32
    assert hidden.shape == (BLOCKS + 1, PROMPTS, TOKENS, WIDTH)
    np.testing.assert_allclose(hidden, layers, rtol=1e-5, atol=1e-6)
    # The last layer is in front of the final norm: the head reads it after that.
    last = model.head(model.norm(torch.tensor(hidden[-1]))).detach().numpy()
    np.testing.assert_allclose(last, outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_goes_on_from_edited_states(xs, kind):
    """Against the rest of the model, run by hand from the edited state."""
    model = Model(**KINDS[kind])
    hidden = states(model, xs, blocks="blocks")
    _, before = by_hand(model, xs)
    for layer in range(BLOCKS + 1):
        same = resume(model, xs, layer, hidden[layer], blocks="blocks", batch=3)
        np.testing.assert_allclose(same, before, rtol=1e-5, atol=1e-6)
        edited = np.random.default_rng(layer).normal(size=hidden[layer].shape)
        after = resume(model, xs, layer, edited, blocks="blocks", batch=3)
        x = torch.tensor(edited, dtype=torch.float32)
        model.eval()
        with torch.no_grad():
            for block in model.blocks[layer:]:
                x = block(x, 0.5) if model.by_name else block(x)
                x = x[0] if isinstance(x, tuple | list) else x
            wanted = model.head(model.norm(x)).numpy()
        np.testing.assert_allclose(after, wanted, rtol=1e-5, atol=1e-6)
        assert abs(after - before).max() > 0.1


def test_modes_and_hooks_are_as_before(xs):
    model = Model()
    model.blocks[1].eval()
    model.norm.weight.requires_grad_(False)
    states(model, xs, blocks="blocks")
    resume(model, xs, 1, torch.zeros(PROMPTS, TOKENS, WIDTH), blocks="blocks")
    assert model.training and model.blocks[0].training
    assert not model.blocks[1].training
    assert all(p.grad is None for p in model.parameters())
    assert model(xs).requires_grad
    assert_no_hooks(model)


def assert_no_hooks(model):
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks


def test_hooks_are_removed_and_modes_restored_after_an_error(xs):
    class Fails(Block):
        def forward(self, x):
            raise RuntimeError("broken")

    model = Model()
    model.blocks[1] = Fails()
    for call in (
        lambda: states(model, xs, blocks="blocks"),
        lambda: resume(
            model, xs, 0, torch.zeros(PROMPTS, TOKENS, WIDTH), blocks="blocks"
        ),
    ):
        with pytest.raises(RuntimeError, match="broken"):
            call()
        assert model.training and model.blocks[0].training
        assert_no_hooks(model)


def test_states_go_to_a_file(xs, tmp_path):
    model = Model()
    file = tmp_path / "states.npy"
    mapped = states(model, xs, blocks="blocks", batch=2, file=file)
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, states(model, xs, blocks="blocks", batch=2))
    np.testing.assert_array_equal(np.load(file), mapped)
    with pytest.raises(ValueError, match=r"must end in '\.npy'"):
        states(model, xs, blocks="blocks", file="states.pt")
    narrower = nn.Sequential(nn.Linear(2, WIDTH), nn.Linear(WIDTH, 4))
    with pytest.raises(ValueError, match="layer 1 has states of shape"):
        states(narrower, xs, blocks="", file=file)
    np.testing.assert_array_equal(np.load(file), mapped)
    assert [each.name for each in tmp_path.iterdir()] == ["states.npy"]


def test_inputs_by_name_by_position_and_as_arrays(xs):
    model = Model()
    hidden = states(model, xs, blocks="blocks")
    same = {
        "array": xs.numpy(),
        "float64": xs.double().numpy(),
        "list": xs.tolist(),
        "tuple": (xs,),
        "dictionary": {"xs": xs},
    }
    for given in same.values():
        np.testing.assert_array_equal(states(model, given, blocks="blocks"), hidden)


def test_blocks_by_name_and_as_modules(xs):
    model = Model()
    hidden = states(model, xs, blocks="blocks")
    lists = (
        model.blocks,
        ["blocks.0", "blocks.1", "blocks.2"],
        [model.blocks[0], "blocks.1", model.blocks[2]],
    )
    for blocks in lists:
        np.testing.assert_array_equal(states(model, xs, blocks=blocks), hidden)
    two = states(model, xs, blocks=["blocks.0", "blocks.1"])
    np.testing.assert_array_equal(two, hidden[:3])


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        ("layers", "no module 'layers'; its module lists are blocks"),
        ("norm", r"one module, a LayerNorm.*blocks.*give a list, \['norm'\]"),
        (["blocks.7"], "no module 'blocks.7'"),
        ([], "blocks must be the name of a module list"),
        (3, "blocks must be the name of a module list.*got 3"),
        ([[1]], "blocks must be the name of a module list"),
        ([nn.Linear(2, 2)], "blocks must be the name of a module list"),
        (["blocks.0", "blocks.0"], "blocks must be different modules"),
        (["blocks.1", "blocks.0"], "'blocks.0' ran before 'blocks.1'"),
    ],
)
def test_blocks_that_are_not_there(xs, blocks, sentence):
    with pytest.raises(ValueError, match=sentence):
        states(Model(), xs, blocks=blocks)


def test_a_model_without_lists_says_what_it_has(xs):
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="no module lists; its modules are none"):
        states(model, xs, blocks="blocks")
    with pytest.raises(ValueError, match="model must be a torch"):
        states(lambda x: x, xs, blocks="blocks")


def test_a_block_that_is_used_twice_is_refused(xs):
    class Twice(Model):
        def stream(self, xs):
            x = self.embed(xs)
            yield x
            for block in [*self.blocks, self.blocks[0]]:
                x = block(x)
                yield x

    model = Twice()
    with pytest.raises(ValueError, match=r"block 'blocks\.0' ran twice"):
        states(model, xs, blocks="blocks")
    edited = torch.zeros(PROMPTS, TOKENS, WIDTH)
    with pytest.raises(ValueError, match=r"block 'blocks\.0' ran twice"):
        resume(model, xs, 0, edited, blocks="blocks")
    assert_no_hooks(model)
    # Blocks that do run once can be given alone.
    assert states(model, xs, blocks=["blocks.1", "blocks.2"]).shape[0] == 3


def test_the_same_block_in_several_places_is_refused(xs):
    model = Model()
    model.blocks[2] = model.blocks[0]
    with pytest.raises(ValueError, match="blocks must be different modules"):
        states(model, xs, blocks="blocks")


def test_a_block_that_does_not_run_is_refused(xs):
    model = Model()
    model.spare = nn.ModuleList([Block()])
    with pytest.raises(ValueError, match=r"'spare\.0' did not run"):
        states(model, xs, blocks=[*model.blocks, model.spare[0]])
    edited = torch.zeros(PROMPTS, TOKENS, WIDTH)
    with pytest.raises(ValueError, match=r"'spare\.0' did not run"):
        resume(model, xs, 0, edited, blocks="spare")


def test_gradient_checkpointing_is_no_trouble(xs):
    """Blocks are run a second time in a backward pass, and there is none."""

    class Checkpointed(Model):
        def stream(self, xs):
            x = self.embed(xs)
            yield x
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=False)
                yield x

    model = Checkpointed()
    hidden = states(model, xs, blocks="blocks")
    np.testing.assert_allclose(hidden, by_hand(model, xs)[0], rtol=1e-5, atol=1e-6)
    check_edits(model, xs, blocks="blocks")


def test_edits_are_checked(xs):
    model = Model()
    effects = check_edits(model, xs, blocks=iter(model.blocks), batch=4)
    assert effects.identity.shape == effects.noise.shape == (BLOCKS + 1,)
    assert effects.identity.max() < 1e-6 < 0.1 < effects.noise.min()


def test_a_model_that_ignores_the_edit_is_found_out(xs):
    class Deaf(Model):
        """Each block is run, and then another way to the outputs is taken."""

        def forward(self, xs):
            list(self.stream(xs))
            return self.head(self.norm(self.embed(xs)))

    with pytest.raises(ValueError, match="large noise in the states of layer 0"):
        check_edits(Deaf(), xs, blocks="blocks")


def test_a_model_that_is_random_in_eval_mode_is_found_out(xs):
    class Random(Block):
        def forward(self, x):
            return super().forward(nn.functional.dropout(x, 0.5, training=True))

    with pytest.raises(ValueError, match="by themselves changes the outputs"):
        check_edits(Model(Random), xs, blocks="blocks")


def test_masked_logits_and_reading_a_part(xs):
    """Logits of minus infinity are equal to themselves."""

    class Masked(Model):
        def forward(self, xs):
            out = super().forward(xs)
            return {"scores": out.masked_fill(torch.arange(3) == 1, -torch.inf)}

    model = Masked()

    def read(output):
        return output["scores"][:, -1]

    effects = check_edits(model, xs, blocks="blocks", read=read)
    assert np.isfinite(effects.noise).all() and effects.identity.max() < 1e-6
    with pytest.raises(ValueError, match="give read="):
        check_edits(model, xs, blocks="blocks")
    with pytest.raises(ValueError, match="one row for each of the 7 prompts"):
        check_edits(model, xs, blocks="blocks", read=lambda out: out["scores"][0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_models_of_other_precision(xs, dtype):
    model = Model().to(dtype)
    xs = xs.to(dtype)
    hidden = states(model, xs, blocks="blocks")
    assert hidden.dtype == np.float32
    check_edits(model, xs, blocks="blocks")
    same = resume(model, xs, 1, hidden[1], blocks="blocks")
    with torch.no_grad():
        np.testing.assert_allclose(
            same, model.eval()(xs).float().numpy(), rtol=1e-5, atol=1e-6
        )


def test_transformers_of_pytorch():
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True, norm_first=True)
    model = nn.TransformerEncoder(layer, BLOCKS, enable_nested_tensor=False)
    xs = torch.randn(PROMPTS, TOKENS, WIDTH)
    hidden = states(model, xs, blocks="layers")
    np.testing.assert_array_equal(hidden[0], xs.numpy())
    with torch.no_grad():
        outputs = model.eval()(xs).numpy()
    np.testing.assert_allclose(hidden[-1], outputs, rtol=1e-4, atol=1e-5)
    check_edits(model, xs, blocks="layers")


@pytest.mark.parametrize("batch", [3, TOKENS])
def test_a_stream_with_tokens_first_is_refused(xs, batch):
    """Also where there are as many prompts as tokens, and its shape looks right."""

    class TokensFirst(Model):
        def stream(self, xs):
            yield from super().stream(xs.transpose(0, 1))

    with pytest.raises(ValueError, match="batch_first=True"):
        states(TokensFirst(), xs[:TOKENS], blocks="blocks", batch=batch)
    square = states(Model(), xs[:TOKENS], blocks="blocks", batch=batch)
    assert square.shape[1:3] == (TOKENS, TOKENS)


def test_nested_tensors_are_refused():
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, BLOCKS)
    mask = torch.zeros(PROMPTS, TOKENS, dtype=torch.bool)
    mask[0, 3:] = True
    inputs = {
        "src": torch.randn(PROMPTS, TOKENS, WIDTH),
        "src_key_padding_mask": mask,
    }
    with pytest.raises(ValueError, match="enable_nested_tensor=False"):
        states(model, inputs, blocks="layers")


def test_edited_states_of_any_kind(xs):
    """Tensors that require gradients, or are bfloat16, need no conversion."""
    model = Model()
    edited = torch.randn(PROMPTS, TOKENS, WIDTH).bfloat16()
    wanted = resume(model, xs, 1, edited.float().numpy(), blocks="blocks")
    kinds = (edited, edited.float().requires_grad_(), edited.double())
    for each in kinds:
        found = resume(model, xs, 1, each, blocks="blocks")
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("layer", [-1, BLOCKS + 1, 0.5, "1"])
def test_layers_that_do_not_exist(xs, layer):
    with pytest.raises(ValueError, match=r"layer must be an integer (>= 0|<= 3)"):
        resume(Model(), xs, layer, np.zeros((PROMPTS, TOKENS, WIDTH)), blocks="blocks")


@pytest.mark.parametrize(
    ("edited", "sentence"),
    [
        (np.zeros((PROMPTS - 1, TOKENS, WIDTH)), "with 7 prompts"),
        (np.zeros((PROMPTS, WIDTH)), r"axes \(prompts, tokens, features\)"),
        (np.zeros((PROMPTS, TOKENS, WIDTH + 1)), r"stream, \(5, 8\), got \(5, 9\)"),
        (np.full((PROMPTS, TOKENS, WIDTH), np.nan), "edited must be finite"),
    ],
)
def test_edited_states_that_do_not_fit(xs, edited, sentence):
    with pytest.raises(ValueError, match=sentence):
        resume(Model(), xs, 1, edited, blocks="blocks")


def test_inputs_that_do_not_fit(xs):
    with pytest.raises(ValueError, match="inputs must be a tensor of prompts"):
        states(Model(), (xs, xs[:3]), blocks="blocks")
    with pytest.raises(ValueError, match="inputs must be a tensor of prompts"):
        states(Model(), xs[:0], blocks="blocks")


@pytest.mark.parametrize("part", ["whole", "one layer", "a buffer"])
def test_a_model_without_numbers_is_refused(xs, part):
    """What is on the device "meta" has shapes alone."""
    model = Model()
    if part == "whole":
        model.to("meta")
    elif part == "one layer":
        model.blocks[1].mix.to("meta")
    else:
        model.register_buffer("mask", torch.ones(2, device="meta"))
    first = {"whole": "embed.weight", "one layer": "blocks.1.mix.weight"}
    said = rf"'{first.get(part, 'mask')}'.* on the device 'meta'.*load them first"
    edited = torch.zeros(PROMPTS, TOKENS, WIDTH)
    for call in (
        lambda: states(model, xs, blocks="blocks"),
        lambda: resume(model, xs, 1, edited, blocks="blocks"),
        lambda: check_edits(model, xs, blocks="blocks"),
    ):
        with pytest.raises(ValueError, match=said):
            call()


def test_inputs_edits_and_states_without_numbers_are_refused(xs):
    model, away = Model(), xs.to("meta")
    with pytest.raises(ValueError, match=r"inputs must hold numbers.*'meta'"):
        states(model, {"xs": away}, blocks="blocks")
    edited = torch.zeros(PROMPTS, TOKENS, WIDTH, device="meta")
    with pytest.raises(ValueError, match="edited must be an array of real numbers"):
        resume(model, xs, 1, edited, blocks="blocks")

    class Away(Block):
        def forward(self, x):
            return super().forward(x).to("meta")

    model.blocks[-1] = Away()
    with pytest.raises(ValueError, match="the model computes must hold numbers"):
        states(model, xs, blocks="blocks")
    assert_no_hooks(model)


def test_parameters_that_accelerate_has_offloaded_are_brought_back(xs):
    """They are on the device "meta" between calls."""
    accelerate = pytest.importorskip("accelerate")
    model = Model()
    layers, outputs = by_hand(model, xs)
    accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    assert all(each.is_meta for each in model.parameters())
    hidden = states(model, xs.double().numpy(), blocks="blocks", batch=3)
    np.testing.assert_allclose(hidden, layers, rtol=1e-5, atol=1e-6)
    same = resume(model, xs, 2, hidden[2], blocks="blocks")
    np.testing.assert_allclose(same, outputs, rtol=1e-5, atol=1e-6)
    assert all(each.is_meta for each in model.parameters())


def test_a_planted_feature_is_found_edited_and_followed():
    """From a model to a claim: where is w, and do predictions follow what is written?

    The second block writes w into the stream, and the head reads it there.
    """
    w = np.random.default_rng(0).normal(size=(300, 1)).astype(np.float32)

    class Plants(nn.Module):
        def forward(self, x):
            sums = x[..., :1].sum(1, keepdim=True)  # w is spread over the tokens
            return x + sums * torch.eye(WIDTH)[3]

    class Planted(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.Identity(), Plants(), nn.Identity()])

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return 2 * x[:, -1, 3]

    rng = np.random.default_rng(1)
    xs = rng.normal(size=(300, TOKENS, WIDTH)).astype(np.float32)
    xs[..., 3] *= 0.1
    xs[:, -1, 0] += w[:, 0] - xs[..., 0].sum(1)
    model = Planted()
    hidden = states(model, xs, blocks="blocks")
    grid = probe_grid(hidden, {"w": w}, coefficients=True)
    r2 = grid.r2.sel(target="w", token=1)
    assert r2.values[:2].max() < 0.2 < 0.9 < r2.values[2:].min()
    cell = grid.sel(layer=2, token=TOKENS - 1, target="w")
    edited = hidden[2].copy()
    wanted = rng.normal(size=(300, 1)).astype(np.float32)
    edited[:, -1] = write(
        hidden[2][:, -1], cell.coef.values, cell.intercept.values, wanted
    )
    after = resume(model, xs, 2, edited, blocks="blocks")
    before = resume(model, xs, 2, hidden[2], blocks="blocks")
    assert np.corrcoef(before, w[:, 0])[0, 1] > 0.9
    assert np.corrcoef(after, wanted[:, 0])[0, 1] > 0.8


@pytest.fixture
def gpt2():
    transformers = pytest.importorskip("transformers")
    shape = transformers.GPT2Config(
        vocab_size=20,
        n_positions=8,
        n_embd=WIDTH,
        n_layer=BLOCKS,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.GPT2LMHeadModel(shape)


@pytest.fixture
def tokens():
    return torch.randint(20, (PROMPTS, TOKENS))


def test_states_of_hugging_face(gpt2, tokens):
    """Against its own hidden states; the last of them is behind the final norm."""
    gpt2.train()
    hidden = states(gpt2, tokens, blocks="transformer.h", batch=4)
    assert gpt2.training
    with torch.no_grad():
        output = gpt2.eval()(tokens, output_hidden_states=True)
        normed = gpt2.transformer.ln_f(torch.tensor(hidden[-1])).numpy()
    theirs = torch.stack(output.hidden_states).numpy()
    np.testing.assert_allclose(hidden[:-1], theirs[:-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(normed, theirs[-1], rtol=1e-4, atol=1e-5)
    assert abs(hidden[-1] - theirs[-1]).max() > 0.1
    same = resume(gpt2, tokens, 2, hidden[2], blocks="transformer.h", batch=4)
    np.testing.assert_allclose(same, output.logits.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_edits_of_hugging_face_reach_the_logits(gpt2, tokens, checkpointing):
    if checkpointing:
        gpt2.gradient_checkpointing_enable()
        gpt2.train()
    effects = check_edits(
        gpt2,
        {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)},
        blocks="transformer.h",
    )
    assert effects.identity.max() < 1e-5 < 0.1 < effects.noise.min()


def test_text_generation_is_refused(gpt2, tokens):
    class Generates(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = gpt2

        def forward(self, tokens):
            return self.inner.generate(tokens, max_new_tokens=2, do_sample=False)

    with pytest.raises(ValueError, match=r"ran twice in one call .*generation"):
        states(Generates(), tokens, blocks="inner.transformer.h")


def test_examples_of_the_page():
    pytest.importorskip("transformers")
    result = doctest.testfile(
        str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert result.attempted > 20
    assert result.failed == 0


# --- dtypes and files ---


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_numbers_that_the_model_does_not_hold_are_refused(xs, dtype):
    model = Model().to(dtype)
    edited = np.zeros((PROMPTS, TOKENS, WIDTH))
    most = torch.finfo(dtype).max
    resume(model, xs.numpy(), 1, np.full_like(edited, most), blocks="blocks")
    edited[-1] = most * 1.01
    with pytest.raises(ValueError, match=f"edited must hold numbers that {dtype}"):
        resume(model, xs.numpy(), 1, edited, blocks="blocks")
    with pytest.raises(ValueError, match=f"inputs must hold numbers that {dtype}"):
        states(model, np.full(xs.shape, 1e300), blocks="blocks")


def test_states_that_float32_does_not_hold_are_refused(xs):
    with pytest.raises(ValueError, match="must be numbers that float32 holds"):
        states(Model().double(), np.full(xs.shape, 1e300), blocks="blocks")


def test_complex_outputs_are_refused(xs):
    def read(output):
        return output + 1j

    with pytest.raises(ValueError, match="must be real numbers, got complex"):
        resume(Model(), xs, 1, np.zeros((7, 5, WIDTH)), blocks="blocks", read=read)


def test_edits_of_a_float64_model_keep_float64(xs):
    def read(output):
        return (output - 1) * 1e12

    model = nn.Sequential(nn.Identity()).double()
    edited = np.ones((PROMPTS, TOKENS, 2)) + 1e-12
    found = resume(model, xs.double(), 1, edited, blocks=[model[0]], read=read)
    np.testing.assert_allclose(found, 1.0, rtol=1e-3)


@pytest.mark.usefixtures("untyped")
@pytest.mark.filterwarnings("error")
def test_arrays_of_any_kind_are_inputs(xs):
    jnp = pytest.importorskip("jax.numpy")
    model = Model()
    xs = xs.bfloat16().float()  # which all dtypes below hold
    array, wanted = xs.numpy(), states(model, xs, blocks="blocks")
    fixed = array.copy()
    fixed.flags.writeable = False
    kinds = {
        "read-only": fixed,
        "backwards": array[::-1].copy()[::-1],
        "big-endian": array.astype(">f4"),
        "long double": array.astype(np.longdouble),
        "JAX": jnp.asarray(array),
        "bfloat16": jnp.asarray(array, jnp.bfloat16),
        "bfloat16 of NumPy": np.asarray(jnp.asarray(array, jnp.bfloat16)),
        "a list": array.tolist(),
    }
    for name, given in kinds.items():
        found = states(model, given, blocks="blocks")
        np.testing.assert_array_equal(found, wanted, err_msg=name)
    edited = resume(model, xs, 1, wanted[1], blocks="blocks")
    for name, of in {">f4": ">f4", "long double": np.longdouble}.items():
        given = np.flip(np.flip(wanted[1]).copy()).astype(of)
        found = resume(model, xs, 1, given, blocks="blocks")
        np.testing.assert_array_equal(found, edited, err_msg=name)


def test_tensors_of_another_precision_are_named(xs):
    with pytest.raises(ValueError, match=r"fails on inputs of torch.float64, while"):
        states(Model(), xs.double(), blocks="blocks")


def test_a_file_is_checked_before_the_model_runs(xs, tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("the model ran")

    model = Model()
    monkeypatch.setattr(model, "forward", never)
    (tmp_path / "folder.npy").mkdir()
    for name in ("folder.npy", "missing/states.npy"):
        with pytest.raises(ValueError, match="file must be the name of a file in a"):
            states(model, xs, blocks="blocks", file=tmp_path / name)


def test_the_home_folder_has_its_short_name(xs, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    states(Model(), xs, blocks="blocks", file="~/states.npy")
    assert (tmp_path / "states.npy").exists()
