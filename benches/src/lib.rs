//! Support for the benchmarks beside it.
