"""The version of roost, as a constant: asking the installed package's metadata for it costs more than all of ours."""

__version__ = "0.1.0"
