"""Few-shot ARC (SEAL, section 4.1): puzzles of coloured grids, and self-edits that say how to train on their demonstrations."""
