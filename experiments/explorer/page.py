"""The page of the explorer, as a notebook of marimo: each function is a cell of it.

A cell runs again when a control that it reads is moved. `python -m
experiments.explorer` serves the page, and `marimo edit experiments/explorer/page.py`
opens it as a notebook.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="compact", app_title="icl-probes explorer")


@app.cell
def _():
    import io

    import marimo as mo
    import numpy as np

    from experiments.explorer import moves, pictures
    from experiments.explorer.subject import Subject, find, shipped

    return Subject, find, io, mo, moves, np, pictures, shipped


@app.cell
def _(mo, shipped):
    _given = mo.cli_args().get_all("model")
    choices = [*_given, *shipped()]
    _first = choices[0] if _given else "d4"
    which = mo.ui.dropdown(choices, value=_first, label="model")
    seed = mo.ui.slider(0, 50, value=1, label="prompt", show_value=True)
    mo.vstack(
        [
            mo.md(
                "# Which algorithm is it running?\n\n"
                "Choose a model and a prompt, move a point or a label, and watch "
                "what the transformer predicts beside textbook learners."
            ),
            mo.hstack([which, seed], justify="start", wrap=True),
        ]
    )
    return seed, which


@app.cell
def _(Subject, find, which):
    subject = Subject(find(which.value))
    length, dim = subject.task.codec.length, subject.task.codec.dim
    return dim, length, subject


@app.cell
def _(dim, length, mo):
    example = mo.ui.slider(1, length - 1, value=1, label="example", show_value=True)
    coordinate = mo.ui.slider(1, dim, value=1, label="coordinate", show_value=True)
    by_x = mo.ui.slider(-4, 4, step=0.25, value=0, label="move x by", show_value=True)
    by_y = mo.ui.slider(-8, 8, step=0.5, value=0, label="move y by", show_value=True)
    alpha = mo.ui.slider(
        steps=[0.01, 0.03, 0.1, 0.3, 1, 3, 10],
        value=1,
        label="penalty of ridge",
        show_value=True,
    )
    steps = mo.ui.slider(1, 50, value=5, label="steps of descent", show_value=True)
    rate = mo.ui.slider(
        steps=[0.003, 0.01, 0.02, 0.03, 0.05],
        value=0.02,
        label="rate of descent",
        show_value=True,
    )
    mo.vstack(
        [
            mo.hstack([example, coordinate], justify="start", wrap=True),
            mo.hstack([by_x, by_y], justify="start", wrap=True),
            mo.hstack([alpha, steps, rate], justify="start", wrap=True),
        ]
    )
    return alpha, by_x, by_y, coordinate, example, rate, steps


@app.cell
def _(alpha, by_x, by_y, coordinate, example, moves, np, rate, seed, steps, subject):
    drawn = subject.draw(seed.value)
    move = moves.Move(example.value - 1, coordinate.value - 1, by_x.value, by_y.value)
    prompts = move.applied(drawn)
    labels = np.asarray(prompts.ys)[0]
    learners = {
        moves.TRANSFORMER: subject.model,
        **moves.textbook(alpha.value, steps.value, rate.value),
    }
    answers = moves.answers(learners, prompts)
    before = moves.answers(learners, drawn)
    return answers, before, drawn, labels, learners, move, prompts


@app.cell
def _(io, mo):
    def shown(figure, alt):
        """Returns a figure as a picture as wide as the column, with a description."""
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=160)
        return mo.image(file.getvalue(), alt=alt, style={"width": "100%"})

    return (shown,)


@app.cell
def _(answers, before, dim, labels, pictures, shown):
    shown(
        pictures.by_context(answers, before, labels, dim),
        "predictions of the transformer and of three learners, by number of examples",
    )
    return


@app.cell
def _(length, mo):
    context = mo.ui.slider(
        0, length - 1, value=length // 2, label="number of examples", show_value=True
    )
    return (context,)


@app.cell
def _(context, coordinate, learners, mo, moves, np, pictures, prompts, shown):
    _values = np.linspace(-3, 3, 25)
    _found = moves.answers_along(
        learners,
        prompts,
        context=context.value,
        coordinate=coordinate.value - 1,
        values=_values,
    )
    _picture = pictures.along_input(
        _found,
        _values,
        context=context.value,
        name=f"coordinate {coordinate.value}",
    )
    along = mo.vstack(
        [
            mo.md(
                "Each learner is a function of the new x. Here the coordinate that is "
                "chosen above varies, and the others stay as they are."
            ),
            context,
            shown(_picture, "predictions while one coordinate of the new x varies"),
        ]
    )
    return (along,)


@app.cell
def _(answers, labels, mo, pictures, prompts, shown, subject):
    by_layer = mo.vstack(
        [
            mo.md(
                "The *lens* asks what each layer would predict if it were the last. "
                "Above the line stand least squares and the label."
            ),
            shown(
                pictures.lens(subject.lens(prompts), labels, answers["least squares"]),
                "what each layer would predict, by number of examples",
            ),
        ]
    )
    return (by_layer,)


@app.cell
def _(mo, subject):
    _config = subject.model.config
    layer = mo.ui.slider(1, _config.layers, value=1, label="layer", show_value=True)
    head = mo.ui.slider(1, max(_config.heads, 1), label="head", show_value=True)
    return head, layer


@app.cell
def _(head, layer, length, mo, pictures, prompts, shown, subject):
    if subject.attends:
        _pattern = subject.pattern(prompts, layer.value - 1, head.value - 1)
        _picture = shown(
            pictures.attention(_pattern, length), "what each token looks at"
        )
        attention = mo.vstack(
            [mo.hstack([layer, head], justify="start", wrap=True), _picture]
        )
    else:
        attention = mo.md("This model has no attention.")
    return (attention,)


@app.cell
def _(mo, subject):
    target = mo.ui.dropdown(
        subject.probed.target.values.tolist(),
        value="y of the same pair",
        label="what the probe reads",
    )
    return (target,)


@app.cell
def _(mo, pictures, shown, subject, target):
    probes = mo.vstack(
        [
            mo.md(
                "One linear probe for every layer and token, scored on prompts that "
                "were held out. No reader of the prompt can be above the ceiling."
            ),
            target,
            shown(
                pictures.probed(subject.probed, target.value),
                "R2 of probes, by layer and token, and their ceiling",
            ),
        ]
    )
    return (probes,)


@app.cell
def _(mo, subject):
    edited_layer = mo.ui.slider(
        0,
        subject.model.config.layers,
        value=1,
        label="layer of the edit",
        show_value=True,
    )
    written = mo.ui.slider(
        -8, 8, step=0.5, value=4, label="add to the label", show_value=True
    )
    return edited_layer, written


@app.cell
def _(
    answers,
    drawn,
    edited_layer,
    example,
    labels,
    mo,
    move,
    moves,
    pictures,
    prompts,
    shown,
    subject,
    written,
):
    _label = float(labels[move.example]) + written.value
    _real = moves.Move(move.example, by_y=written.value).applied(prompts)
    _found = {
        "as it is": answers[moves.TRANSFORMER],
        "label moved in the prompt": moves.answers(
            {moves.TRANSFORMER: subject.model}, _real
        )[moves.TRANSFORMER],
        "label written into the state": subject.edited(
            prompts,
            layer=edited_layer.value,
            example=move.example,
            label=_label,
        ),
    }
    edit = mo.vstack(
        [
            mo.md(
                f"Another label for example {example.value} is written into the state "
                "of its y, as little as a probe needs to read it. Where the model "
                "still uses that state, it predicts as if the prompt had that label."
            ),
            mo.hstack([edited_layer, written], justify="start", wrap=True),
            shown(
                pictures.edits(_found, move.example),
                "predictions after an edit of a hidden state",
            ),
        ]
    )
    return (edit,)


@app.cell
def _(along, attention, by_layer, edit, mo, probes):
    mo.ui.tabs(
        {
            "Function": along,
            "Layers": by_layer,
            "Attention": attention,
            "Probes": probes,
            "Edit": edit,
        }
    )
    return


if __name__ == "__main__":
    app.run()
