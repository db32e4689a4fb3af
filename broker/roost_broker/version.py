"""Which roost this is."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version of roost that is installed."""
    try:
        return version("roost")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0"
