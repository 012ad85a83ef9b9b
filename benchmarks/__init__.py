"""The benchmark suite: data sets, backbones, protocol, plan, runner and command line.

The modules directly in this folder are the base floor, which methods and all other folders may
import; `backbones.py` (the face of `backbone/`) and `speed.py` (a shortcut to `tools/speed`) are
the exceptions. The floors are described in docs/architecture.md; open `protocol.py` first.
"""
