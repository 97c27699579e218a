"""What one worker holds open, and what routes ask of it: who is asking, how often they may, what they asked before.

`office.py` opens all of it in one place and closes it; everything else here is one of its parts, or a way to it.
"""
