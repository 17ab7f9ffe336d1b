"""Measurements of asgiws; nothing of the package imports them."""
