"""Cannot be imported."""

raise ImportError("this plugin needs\na library that is not there")
