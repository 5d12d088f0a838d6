"""RecBole's general and sequential recommenders as models of the benchmark.

Nothing heavy is imported here: torch and RecBole come with ``models``, the models with a name of their own, and
``registry``, the family ``recbole:NAME``.
"""

from importlib.util import find_spec

from bench import PluginError

if find_spec("recbole") is None:
    raise PluginError("RecBole is not installed: pip install --no-deps recbole==1.2.1")
