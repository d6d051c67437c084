"""Event files, one format a module."""
