"""seal-runtime: run SEAL (self-adapting language models) as independent processes on a message bus."""

__version__ = "0.1.0"
