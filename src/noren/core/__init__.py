"""The decisions of Noren: dataclasses and pure functions, no I/O, no clock, no async."""
