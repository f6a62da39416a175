"""The making of the models that come with `icl`, each with its card."""
