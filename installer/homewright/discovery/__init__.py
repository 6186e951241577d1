"""What the machines are: one probe a host, and pure parsers from its raw bundle to facts."""
