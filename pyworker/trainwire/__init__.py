"""trainwire: training tasks from a Rust orchestrator, read in place."""

from trainwire._core import __version__

__all__ = ["__version__"]
