"""Hidden states out of a PyTorch model, and edited ones back into it.

Three questions about a model that somebody else has written: what is in its residual
stream (`states`, in the axes that `probe_grid` takes), what does it predict if the
stream is edited before some block (`resume`), and do such edits reach its predictions
at all (`check_edits`)? Hooks are set on its blocks for as long as a call lasts; the
model's code and parameters are not touched, and it is run in eval mode, without
gradients.

Layers are counted as everywhere in `probes`: with blocks 0 .. L-1, layer 0 is what
enters the first block, layer l what enters block l, and layer L what comes out of the
last block, *in front of* a final norm. (The last of `output_hidden_states` of Hugging
Face is behind it: no block was ever given that state, and it cannot be resumed from.)

Shapes: prompts of one length; the model's inputs (prompts, ...), its stream (prompts,
tokens, features), and states (layers, prompts, tokens, features) in float32.

When it misleads: padded prompts have states at their padding too; `probe_grid` leaves
them out if it is told which tokens are `valid`. An edit before block l leaves alone
what earlier blocks have handed on by other ways than the stream, such as a cache of
keys and values.

PyTorch is an optional extra, `pip install "icl-probes[torch]"`, and is imported when a
function is called.
"""

from probes.torch.collecting import states as states
from probes.torch.editing import EditEffects as EditEffects
from probes.torch.editing import check_edits as check_edits
from probes.torch.editing import resume as resume

__all__ = ["EditEffects", "check_edits", "resume", "states"]
