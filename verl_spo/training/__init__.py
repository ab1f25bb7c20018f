"""SPO inside verl: the only package that imports verl. Nothing is imported here: workers load the plug-in too."""
