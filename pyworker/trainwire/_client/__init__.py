"""Submitting jobs from Python, following them, and reading their results.

| module | what it does |
| --- | --- |
| `submitting` | `submit`, `run`, `sweep`, `job`, `results` |
| `request` | what they are given, as the daemon wants it |
| `function` | a function as a trainer |
| `combinations` | grids and random samples |
| `control` | where the daemon is; requests and refusals |
| `embedded` | a daemon of this process's own, where none runs |
| `jobs`, `outcomes` | `Job`, `Results` |
| `table`, `display` | how results look as text and HTML; what a notebook shows while it waits |

Nothing of this is imported by `import trainwire`: a trainer does not need it.
"""
