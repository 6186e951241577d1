"""Checks of a server's NVIDIA GPUs: giving them away, and their driver."""
