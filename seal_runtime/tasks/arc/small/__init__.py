"""Small grids with rules of our own: puzzles in the ARC format for a tiny model, and the corpus that it is pretrained on."""
