"""The engine: one process a site that runs a catalogue's steps on hosts and records everything in the journal."""
