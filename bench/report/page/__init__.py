"""One self-contained HTML page of all tables: a typed document of numbers (:mod:`.document`), which JavaScript draws."""
