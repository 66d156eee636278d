"""noren.toml: found (``location``), read with all errors at once (``file``), shown (``effective``, ``schema``)."""
