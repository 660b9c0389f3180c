"""The topology's sections on two held-out studies of the paper: continued pretraining and continual self-edits."""

from pydantic import Field

from protocol.jobs import LoraSpec, OptimSpec
from seal_runtime.config.hyperparameters import LoraConfig, OptimConfig
from seal_runtime.config.section import Section


class CptConfig(Section):
    """Continued pretraining: one adapter is trained on the self-edits of many held-out passages together, then each is examined.

    Measured for the untrained policy and the last one. An edit that cannot be parsed is left out, not drawn again. The defaults are the
    paper's, but for `num_contexts`.
    """

    num_contexts: int = Field(default=0, ge=0, le=10_000)
    """Held-out contexts that one adapter learns; 0 turns the study off. The paper: 200."""
    edits_per_context: int = Field(default=5, ge=1, le=64)
    """Self-edits for each context. A whole edit is one document of the training set, and the context itself is one more."""
    replicates: int = Field(default=1, ge=1, le=64)
    """Adapters trained on the same documents with different seeds; a context's score is the mean over them."""
    lora: LoraConfig = LoraConfig()
    """Shape of the adapter."""
    optim: OptimConfig = OptimConfig(epochs=3, batch_size=8)
    """Its optimiser."""
    trained_policy_batch_size: int = Field(default=4, ge=1, le=65_536)
    """Documents an optimizer step for the last policy's edits, in place of `optim.batch_size`: the published runs halve it."""
    passage_only_learning_rate: float = Field(default=1e-4, gt=0.0, le=1.0)
    """Peak learning rate of the baseline that trains on the bare contexts, in place of `optim.learning_rate`."""
    baselines: bool = True
    """Also measure: no update, passage only, scripted edits (where the task has them)."""

    def optim_spec(self, *, version: int, passage_only: bool, pad_loss: str) -> OptimSpec:
        """Return the wire form for the edits of a policy version, or for the bare contexts."""
        changes: dict[str, object] = {}
        if passage_only:
            changes["learning_rate"] = self.passage_only_learning_rate
        elif version:
            changes["batch_size"] = self.trained_policy_batch_size
        return self.optim.model_copy(update=changes).spec(pad_loss=pad_loss)

    def lora_spec(self) -> LoraSpec:
        """Return the wire form of the adapter's shape."""
        return self.lora.spec()


class ContinualConfig(Section):
    """Continual self-edits: held-out contexts are learned one after the other, each adapter is merged, and all are examined each time.

    Measured for the untrained policy and the last one, with the inner loop of `trainer`, or as the edit itself chooses. An edit that
    cannot be parsed is not drawn again: it leaves the model as it is.
    """

    num_sequences: int = Field(default=0, ge=0, le=1024)
    """Independent sequences, none with a context of another, drawn by `run.seed`; 0 turns the study off. The paper: 8."""
    sequence_length: int = Field(default=8, ge=2, le=64)
    """Contexts K of a sequence. Each sequence gives (K + 1) x K scores: all contexts before the first edit and after each."""
