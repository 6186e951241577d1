"""LXD's own API, as the engine and the practice servers use it: over HTTPS to the site's servers, by a socket here."""
