"""The child process: imports one plugin, fits, recommends. It never imports what knows of test data."""
