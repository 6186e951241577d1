"""Practice servers: real LXD containers on this machine, to learn and to test on."""
