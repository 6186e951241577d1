"""Resume at boot: the systemd unit that goes on with a run after the machine that Homewright runs on was off."""
