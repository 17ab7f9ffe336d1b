"""What several protocols build on: the work of a turn, and the handling of octets."""
