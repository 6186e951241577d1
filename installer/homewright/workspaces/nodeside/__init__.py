"""What runs on a node, as root, for one request: sent over SSH, never installed.

Only the standard library is imported, because the node has nothing else. Debian's and Ubuntu's servers carry the
python3 that this needs (3.9 or newer).
"""
