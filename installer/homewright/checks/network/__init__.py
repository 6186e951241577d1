"""Checks of a server's network, of the way between two servers, and of the site's addresses."""
