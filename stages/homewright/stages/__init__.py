"""The stages that Homewright ships, as a catalogue of numbered folders."""
