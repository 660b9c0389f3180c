"""A language model as grader, asked as the paper asks it (SEAL, appendix B)."""
