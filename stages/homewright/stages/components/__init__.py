"""What the components in the cluster share: the way to its API, and pods that prove something from inside."""
