"""Topics where asgiws is not the server."""
