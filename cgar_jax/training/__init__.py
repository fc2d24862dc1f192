"""One train state, one jitted step per depth, a loop that saves all of it, and where it all lies.

What is trained, on what and with which loss is decided elsewhere and handed in.
"""
