"""Topics: publish and subscribe, without I/O; the drivers and the processes bring it to sockets."""
