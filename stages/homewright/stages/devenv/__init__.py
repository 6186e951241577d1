"""The image of the workspace template devenv: built on a node from our Containerfile, and brought to all others."""
