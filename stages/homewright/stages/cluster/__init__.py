"""What the steps of the cluster share: its documents, what a node has, and what is done there."""
