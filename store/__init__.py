"""Where features live: immutable Parquet parts, a manifest that names them, and SQL over both.

Imports nothing of ``pipeline``. Start at :class:`store.store.Store`.
"""
