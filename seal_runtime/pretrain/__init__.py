"""Make the built-in model from nothing: tokenizer, weights, verification, model card. Nothing here runs during a SEAL run."""
