"""From items to codes."""
