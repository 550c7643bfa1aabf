"""Reads requests and writes responses; explains requests of another form."""
