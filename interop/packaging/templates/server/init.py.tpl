"""The server of $title."""
