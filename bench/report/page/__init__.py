"""One self-contained HTML page of all tables: a typed document of all numbers, which JavaScript draws and sorts."""
