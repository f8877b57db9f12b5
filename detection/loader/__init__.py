"""Reading rule packs: YAML files in, rules and everything wrong with the files out."""

from detection.loader._overrides import load_overrides
from detection.loader._packs import load_packs, pack_files

__all__ = ["load_overrides", "load_packs", "pack_files"]
