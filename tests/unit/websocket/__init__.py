"""Tests of asgiws/websocket: no event loop."""
