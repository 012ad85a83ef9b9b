"""Forward passes of CLIP's towers that are fast when few parameters receive gradients.

Base floor: imported by the backbones and by methods. Open `image` first; `blocks` and `attention`
are its parts, and `text` is the shorter forward pass of the text tower.
"""
