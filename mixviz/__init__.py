"""Watch the clusters of deep mixture models form or collapse while they train."""

__version__ = "0.1.0"
