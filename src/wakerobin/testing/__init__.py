"""Shipped fakes: a clock that jumps, a store in memory, and peers that behave like the real ones."""
