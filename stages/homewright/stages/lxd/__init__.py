"""What the steps of stage 20 share: LXD on the servers, their cluster, and the instances in it."""
