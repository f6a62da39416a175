"""Weights of other programs, and what those predict, from NumPy in float64.

The oracles read the weights under the names of those programs, tokens as they feed
them, and share nothing with `icl`.
"""

import numpy as np

LAYERS, WIDTH, HEADS, DIM, PAIRS = 2, 16, 2, 3, 4
UNITS = 24
rng = np.random.default_rng(0)
XS, YS = rng.normal(size=(2, PAIRS, DIM)), rng.normal(size=(2, PAIRS))


def normal(*shape):
    """Weights so large that nothing is near the identity or linear."""
    return rng.normal(size=shape).astype(np.float32)


# --- arithmetic of transformers ---


def layer_norm(x, scale, bias):
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + 1e-5) * scale + bias


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def attend(q, k, v):
    """Causal attention of (batch, tokens, heads, size)."""
    scores = np.einsum("bqhc,bkhc->bhqk", q, k) / np.sqrt(q.shape[-1])
    scores = np.where(np.tri(q.shape[1], dtype=bool), scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return np.einsum("bhqk,bkhc->bqhc", shares, v)


def gpt2(weights, state, block, kernel, scale, final):
    """The states after every layer, and what a read-out sees."""
    states = [state]
    for own in map(block.format, range(LAYERS)):

        def part(name, leaf, own=own):
            return weights[f"{own}{name}.{leaf}"].astype(np.float64)

        def dense(x, name, part=part):
            return x @ part(name, kernel) + part(name, "bias")

        def norm(x, name, part=part):
            return layer_norm(x, part(name, scale), part(name, "bias"))

        q, k, v = np.split(dense(norm(state, "ln_1"), "attn.c_attn"), 3, axis=-1)
        q, k, v = (a.reshape(*a.shape[:2], HEADS, -1) for a in (q, k, v))
        state = state + dense(attend(q, k, v).reshape(state.shape), "attn.c_proj")
        state = state + dense(
            gelu(dense(norm(state, "ln_2"), "mlp.c_fc")), "mlp.c_proj"
        )
        states.append(state)
    last = layer_norm(state, weights[f"{final}.{scale}"], weights[f"{final}.bias"])
    return np.stack(states), last


# --- the programs: their weights, and what they predict ---


def gpt2_weights(block, kernel, scale, final):
    shapes = {
        "attn.c_attn": (WIDTH, 3 * WIDTH),
        "attn.c_proj": (WIDTH, WIDTH),
        "mlp.c_fc": (WIDTH, UNITS),
        "mlp.c_proj": (UNITS, WIDTH),
    }
    weights = {f"{final}.{scale}": normal(WIDTH), f"{final}.bias": normal(WIDTH)}
    for layer in range(LAYERS):
        own = block.format(layer)
        for name, shape in shapes.items():
            weights[f"{own}{name}.{kernel}"] = normal(*shape) / 2
            weights[f"{own}{name}.bias"] = normal(shape[1])
        for name in ("ln_1", "ln_2"):
            weights[f"{own}{name}.{scale}"] = normal(WIDTH)
            weights[f"{own}{name}.bias"] = normal(WIDTH)
    return weights


GARG = ("_backbone.h.{}.", "weight", "weight", "_backbone.ln_f")


def garg_weights():
    return gpt2_weights(*GARG) | {
        "_read_in.weight": normal(WIDTH, DIM),
        "_read_in.bias": normal(WIDTH),
        "_backbone.wpe.weight": normal(2 * PAIRS, WIDTH),
        "_read_out.weight": normal(1, WIDTH),
        "_read_out.bias": normal(1),
    }


def garg(weights):
    """y stands in the first entry of a vector as wide as x."""
    wide = np.zeros_like(XS)
    wide[..., 0] = YS
    tokens = np.stack([XS, wide], axis=2).reshape(len(XS), 2 * PAIRS, DIM)
    state = tokens @ weights["_read_in.weight"].T + weights["_read_in.bias"]
    state = state + weights["_backbone.wpe.weight"][: 2 * PAIRS]
    states, last = gpt2(weights, state, *GARG)
    out = last @ weights["_read_out.weight"].T + weights["_read_out.bias"]
    return states, out[:, ::2, 0]


RAVENTOS = ("_h.hs_{}.", "kernel", "scale", "_h.ln_f")


def raventos_weights():
    return gpt2_weights(*RAVENTOS) | {
        "_in.kernel": normal(DIM + 1, WIDTH),
        "_h.wpe.embedding": normal(2 * PAIRS, WIDTH),
        "_out.kernel": normal(WIDTH, 1),
    }


def tokens_apart():
    """[0, x] and [y, 0] in turn."""
    tokens = np.zeros((len(XS), 2 * PAIRS, DIM + 1))
    tokens[:, ::2, 1:], tokens[:, 1::2, 0] = XS, YS
    return tokens


def raventos(weights):
    state = tokens_apart() @ weights["_in.kernel"] + weights["_h.wpe.embedding"]
    states, last = gpt2(weights, state, *RAVENTOS)
    return states, (last @ weights["_out.kernel"])[:, ::2, 0]


def akyurek_weights(norms=True, final=False, outputs=1):
    """Nested, as flax has it; a head has width / heads^2 entries."""
    size = WIDTH // HEADS // HEADS

    def dense(*shape, inputs=1):
        return {"kernel": normal(*shape) / 2, "bias": normal(*shape[inputs:])}

    def norm():
        return {"scale": normal(WIDTH), "bias": normal(WIDTH)}

    def block():
        attention = {
            name: dense(WIDTH, HEADS, size) for name in ("query", "key", "value")
        }
        attention["out"] = dense(HEADS, size, WIDTH, inputs=2)
        mlp = {"Dense_0": dense(WIDTH, UNITS), "Dense_1": dense(UNITS, WIDTH)}
        both = {"LayerNorm_0": norm(), "LayerNorm_1": norm()} if norms else {}
        return {"SelfAttention_0": attention, "MLP_0": mlp, **both}

    body = {f"Encoder1DBlock_{layer}": block() for layer in range(LAYERS)}
    body["Dense_0"] = dense(DIM + 1, WIDTH)
    body["PositionEmbeddings_0"] = {"pos_embedding": normal(1, 2 * PAIRS, WIDTH)}
    if final:
        body["LayerNorm_0"] = norm()
    return {"Transformer_0": body, "Dense_0": dense(WIDTH, outputs)}


def akyurek(weights):
    """h <- LN h; h <- h + A(h); h <- LN h; h <- h + F(h): the stream is normalised."""

    def dense(x, map_, axes=1):
        return np.tensordot(x, map_["kernel"].astype(np.float64), axes) + map_["bias"]

    def norm(x, there, name):
        return layer_norm(x, **there[name]) if name in there else x

    body = weights["Transformer_0"]
    state = dense(tokens_apart()[:, :-1], body["Dense_0"])
    state = state + body["PositionEmbeddings_0"]["pos_embedding"][:, : state.shape[1]]
    states = [state]
    for layer in range(LAYERS):
        block = body[f"Encoder1DBlock_{layer}"]
        attention, mlp = block["SelfAttention_0"], block["MLP_0"]
        state = norm(state, block, "LayerNorm_0")
        q, k, v = (dense(state, attention[name]) for name in ("query", "key", "value"))
        state = state + dense(attend(q, k, v), attention["out"], 2)
        state = norm(state, block, "LayerNorm_1")
        state = state + dense(gelu(dense(state, mlp["Dense_0"])), mlp["Dense_1"])
        states.append(state)
    out = dense(norm(state, body, "LayerNorm_0"), weights["Dense_0"])
    return np.stack(states), out[:, ::2, 0]


CASES = {
    "Garg et al.": (garg_weights(), garg),
    "Raventos et al.": (raventos_weights(), raventos),
    "Akyürek et al.": (akyurek_weights(), akyurek),
    "with a final norm": (akyurek_weights(final=True), akyurek),
    "without norms": (akyurek_weights(norms=False), akyurek),
    "trained on x too": (akyurek_weights(outputs=DIM + 1), akyurek),
}
