"""A page on which a trained model can be explored by hand: `make explore`.

- `moves`: a prompt of which one point or label is moved, and what learners answer.
- `subject`: a trained model, with the states that its probes are fitted to.
- `pictures`: what the page draws.
- `page`: the page itself, a notebook of marimo; nothing is computed there.

It stands in `experiments`, and not in `docs`, because it joins the two libraries and is
code that is typed and tested as any other.
"""
