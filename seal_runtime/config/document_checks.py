"""Will the documents of continued pretraining fit? They travel to a trainer in one message, whose size and number of parts are bounded."""

from protocol.codec import MAX_CONTROL_FRAME_BYTES
from protocol.schema import MAX_ITEMS
from seal_runtime.config.findings import Findings
from seal_runtime.config.topology import Topology

BYTES_PER_TOKEN = 4.5
"""English text in the vocabulary of a large model, about."""


def check_documents(topology: Topology, findings: Findings) -> None:
    """Refuse more documents than a message can hold; warn when they would not fit it if every edit were as long as it may be."""
    cpt = topology.evaluation.cpt
    num_documents = cpt.num_contexts * (cpt.edits_per_context + 1)
    if num_documents > MAX_ITEMS:
        findings.error(
            "evaluation.cpt.num_contexts",
            f"expected at most {MAX_ITEMS:,} documents, got {num_documents:,} ({cpt.num_contexts} contexts with {cpt.edits_per_context} "
            "edits and themselves); lower it or evaluation.cpt.edits_per_context",
        )
    if cpt.num_contexts and topology.task.name == "arc":
        findings.error("evaluation.cpt.num_contexts", "expected 0 for task arc, whose self-edits are configurations and no documents")
    num_bytes = cpt.num_contexts * cpt.edits_per_context * topology.proposer.sampling.max_new_tokens * BYTES_PER_TOKEN
    if num_bytes > MAX_CONTROL_FRAME_BYTES:
        findings.warn(
            "evaluation.cpt.num_contexts",
            f"if every edit were as long as proposer.sampling.max_new_tokens allows, the documents would take about "
            f"{num_bytes / 1e6:.0f} MB, and {MAX_CONTROL_FRAME_BYTES / 1e6:.0f} MB fit one message: more is set aside. "
            "The published edits of 200 passages take 1.2 MB",
        )
