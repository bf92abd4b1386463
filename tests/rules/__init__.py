"""The house rules, as tests that read the tree."""
