"""The files of SEAL's published code (github.com/Continual-Intelligence/SEAL), in and out: result files, self-edits, SFT sets.

Nothing here runs a model. The formats are theirs, letter for letter, so that their scripts read what is written here.
"""
