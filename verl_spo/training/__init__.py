"""SPO inside verl: its trainers and all that they need. Nothing is imported here: workers load the plug-in too."""
