"""Stage definitions: what a stage and a step are, loaded and validated from any folder, and put in order."""
