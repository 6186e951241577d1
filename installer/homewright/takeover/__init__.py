"""Taking over: a site export holds, encrypted, everything that another machine needs to go on with a site."""
