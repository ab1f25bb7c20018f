"""Connections, and what must hold before they are used."""
