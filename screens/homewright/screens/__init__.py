"""The Textual face: screens, widgets and their styles."""
