//! Loom models of the kvns concurrency protocols; see `tests/`.
