"""The site: every answer the operator gave, where it is kept, and what is secret about it."""
