"""The errors a user may meet. Each carries the exit code the command line ends with."""

from __future__ import annotations


class ColdframeError(Exception):
    """Something a user can act on. The message names the thing, what was expected and what to do."""

    exit_code = 1


class StoreDamaged(ColdframeError):
    """A file of the store is missing or not what the manifest says."""


class TooLittleMemory(ColdframeError):
    """A query needs more memory, or room to spill, than there is or than it may have."""


class QueryRefused(ColdframeError):
    """SQL that would write, reach outside the store, or that DuckDB cannot run."""


class CheckFailed(ColdframeError):
    """A claim the store makes about itself does not hold."""

    exit_code = 4


class Locked(ColdframeError):
    """Another process is writing the same thing."""

    exit_code = 5
