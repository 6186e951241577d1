"""Tables of cases for every check: what a recorded machine, or one with a fact changed, is found to be."""
