"""SSH: first contact, host keys, and the one connection layer that everything of ours uses."""
