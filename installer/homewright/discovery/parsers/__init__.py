"""Pure parsers: the text of one command in, facts out. Text that is not understood gives nothing, never an error."""
